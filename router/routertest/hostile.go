package routertest

import (
	"math/rand/v2"
	"strings"
)

// hostileParts are what hostile texts are put together from: what HAProxy's command line, its maps, its configuration, HTTP
// and file systems give a meaning to.
var hostileParts = []string{
	";", "\n", "\r\n", "\\", " ", "\t", "\x00", "#", "<<", "@1", "|", ",", ":", "/", "../", "..", "%00", "%0a", "$(id)", "`id`", "\"", "'", "{", "}", "*", "?", "~",
	"set map #0 env/shop 9|1|0|0", "del map #0 env/shop", "show info", "shutdown sessions server viridian.shop.web.1/s1", "disable server viridian.shop.web.1/s1",
	"set server viridian.shop.web.1/s1 addr 127.0.0.1 port 9", "env/shop", "host/shop.localhost", "viridian.shop.web.1/s1", "gen/shop/1", "shop", "shop.web", "web", "none",
	"a", "A", "0", "-", "_", ".", "é", "店", "\u202e", "\xff", "о", strings.Repeat("a", 64), strings.Repeat("b", 5000), "\r\nX-Viridian-Value: none\r\n", "127.0.0.1", "::1",
}

// HostileText is a text that would do harm where it becomes a command, a path or a key.
func HostileText(random *rand.Rand) string {
	var b strings.Builder
	for range 1 + random.IntN(4) {
		b.WriteString(hostileParts[random.IntN(len(hostileParts))])
	}
	return b.String()
}
