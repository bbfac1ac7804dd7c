# What Viridian's token must be allowed to register groups, and no more. Each generation is a node of its own, named
# viridian-<environment>-g<number>; its services are named <environment>-<service> or by catalog_name, so that the second rule may be
# narrowed to the environments there are, such as "shop-".
node_prefix "viridian-" {
  policy = "write"
}
service_prefix "" {
  policy = "write"
}
