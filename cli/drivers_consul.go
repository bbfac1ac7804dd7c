package cli

import (
	"errors"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router/consul"
)

// consulNodeSettings are those of a node that is a Consul datacenter. What is not set there is the installation's.
var consulNodeSettings = []nodeSetting{
	{key: "address", usage: consulAddressForm + " of a Consul agent (default: consul.address, with all that is set there)"},
	{key: "token_file", usage: "a file with the ACL token for it, which is read for each request; router/consul/GUIDE.md has the policies"},
	{key: "datacenter", usage: "the datacenter that the node is (default: the agent's)"},
	{key: "namespace", usage: "the namespace to work in; Consul Enterprise alone has any"},
	{key: "partition", usage: "the admin partition to work in; Consul Enterprise alone has any"},
	{key: "timeout", usage: "50ms to 1m: bounds one request to Consul (default: 3s)"},
	{key: "tls.ca_file", usage: "certificates that vouch for Consul's, where the address begins with https:// (default: the machine's)"},
	{key: "tls.cert_file", usage: "a certificate to show to Consul, with tls.key_file"},
	{key: "tls.key_file", usage: "its key"},
	{key: "tls.server_name", usage: "the name that Consul's certificate must have (default: the host of the address)"},
}

// consulDriver is a driver whose node is a Consul datacenter.
func consulDriver(about string, grade rollout.Grade, undivided bool, finds rollout.Finder, driver func(consul.Options) controller.Remote) routerDriver {
	return routerDriver{family: "consul", about: about, settings: consulNodeSettings, called: "dc1", example: "address: http://127.0.0.1:8500",
		undivided: undivided, finds: finds,
		own: func(driver string, n nodeConfig) ownPlace {
			place := driver + " " + n.settings["address"] + " " + n.settings["datacenter"] + " " + n.settings["partition"] + " " + n.settings["namespace"]
			return ownPlace{"datacenter", place, "give each node its own: one process cannot be two nodes"}
		},
		open: func(n nodeConfig, with driverParts) (controller.Remote, rollout.Grade, error) {
			c, err := consulOf(n, with.consul)
			if err != nil {
				return nil, "", err
			}
			client, err := c.client()
			if err != nil {
				return nil, "", err
			}
			return driver(consul.Options{Router: n.router, Node: n.name, Client: client,
				Clock: with.clock, Failpoints: with.failpoints, Logger: with.log}), grade, nil
		}}
}

// consulOf is the Consul of a node. One with an address of its own stands alone; any other is the installation's, with
// what the node sets otherwise. Without the installation's the node is only looked at.
func consulOf(n nodeConfig, installation *consulConfig) (consulConfig, error) {
	c := consulConfig{Timeout: 3 * time.Second}
	switch {
	case n.settings["address"] != "":
		c.Address = n.settings["address"]
	case installation == nil:
		c.Address = "127.0.0.1:8500"
		if n.settings["tls.ca_file"]+n.settings["tls.cert_file"]+n.settings["tls.key_file"]+n.settings["tls.server_name"] != "" {
			c.Address = "https://127.0.0.1:8501"
		}
	case installation.Address == "":
		return c, errors.New("it has no address, and consul.address is not set")
	default:
		c = *installation
	}
	for key, field := range map[string]*string{"token_file": &c.TokenFile, "datacenter": &c.Datacenter, "namespace": &c.Namespace,
		"partition": &c.Partition, "tls.ca_file": &c.TLS.CA, "tls.cert_file": &c.TLS.Cert, "tls.key_file": &c.TLS.Key, "tls.server_name": &c.TLS.ServerName} {
		if value := n.settings[key]; value != "" {
			*field = value
		}
	}
	timeout, err := spanOf(n, "timeout", 50*time.Millisecond, time.Minute)
	if timeout > 0 {
		c.Timeout = timeout
	}
	return c, err
}
