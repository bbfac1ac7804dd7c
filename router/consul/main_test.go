package consul_test

import "os"

// flips is how many a proof makes.
func flips() int {
	if os.Getenv("VIRIDIAN_PROVE") == "full" {
		return 200
	}
	return 20
}
