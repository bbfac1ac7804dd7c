# What Viridian's token needs besides policy.hcl to adopt instances that others registered: to see their nodes. Their
# services it sees by service_prefix; where that was narrowed, it needs service_prefix with policy "read" for them.
node_prefix "" {
  policy = "read"
}
