# What the token of a consul-query must be allowed, and no more: to write the prepared queries of the services that it
# switches, named <environment>-<service> or by catalog_name, and to look whether the catalog has their instances. All but the first rule may
# be narrowed to the environments there are, such as "shop-", and the nodes that their instances are on.
key "viridian/incarnation" {
  policy = "write"
}
query_prefix "" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
