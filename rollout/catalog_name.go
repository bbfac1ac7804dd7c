package rollout

// CatalogName is the name under which a service of an environment is known outside, in a registry's catalog and in DNS.
func CatalogName(environment, service string) string { return environment + "-" + service }

// The meta keys by which an entry of a catalog says what it belongs to.
const (
	MetaEnvironment = "viridian-environment"
	MetaGeneration  = "viridian-generation"
)
