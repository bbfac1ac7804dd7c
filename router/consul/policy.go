package consul

// The smallest ACL policies of the drivers, for all environments. Where a token is to serve some only, a rule with the
// prefix "shop-" in place of "" serves the environment shop (and those whose name begins so), and likewise the key
// prefix "viridian/shop/".
const (
	splitterPolicy = `key "viridian/incarnation" { policy = "write" } service_prefix "" { policy = "write" }`
	queryPolicy    = `key "viridian/incarnation" { policy = "write" } query_prefix "" { policy = "write" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`
	pointerPolicy  = `key_prefix "viridian/" { policy = "write" }`
)
