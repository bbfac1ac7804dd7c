# What Viridian's token needs besides policy.hcl to register groups on an agent (consul.agent): to see which agent it
# talks to, and the agent's node with what is registered there. Both may be narrowed to the name of that node.
agent_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
