package consul_test

import (
	"log/slog"
	"testing"

	"viridian/registry"
	"viridian/registry/consul"
	"viridian/registry/consultest"
	"viridian/registry/registrytest"
)

func TestExercise(t *testing.T) {
	agent := consultest.Dev(t)
	registrytest.Exercise(t, registrytest.Fixture{New: func(t *testing.T) registry.Registry {
		return consul.New(consul.Options{Client: agent.Client(""), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	}})
}
