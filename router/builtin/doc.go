// Package builtin is the router that runs in our own process: a reverse proxy for HTTP/1.1 on net/http/httputil.
//
// What it does now is one immutable table, from host to the instances of each weighted generation, behind one atomic
// pointer. A flip builds a new table and swaps the pointer; requests that are under way stay with the generation that
// they began on, and are cut when the drain time of the route is over. Each environment has a state file, so that a
// restarted process serves its last route with everything else gone. The members of a group that is followed change in
// place (members.go). Nothing on the way of a request takes a lock
// that other environments or generations share.
//
// Start reading at router.go, then proxy.go for the way of a request and apply.go for the way of a flip.
package builtin
