# What the token of a consul-splitter must be allowed, and no more: to write the config entries of the services that it
# switches, named <environment>-<service>, so that the second rule may be narrowed to the environments there are, such as
# "shop-"; and one key by which it sees whether Consul has lost what it knew.
key "viridian/incarnation" {
  policy = "write"
}
service_prefix "" {
  policy = "write"
}
