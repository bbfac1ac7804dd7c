# What the token of a consul-splitter must be allowed, and no more: to write the config entries of the services that it
# switches, named <environment>-<service> or by catalog_name, so that the second rule may be narrowed to the environments there are, such as
# "shop-"; to look whether the catalog has their instances; and one key by which it sees whether Consul has lost what it
# knew. In a namespace or partition of Consul Enterprise the rules stand inside of that one.
key "viridian/incarnation" {
  policy = "write"
}
service_prefix "" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
