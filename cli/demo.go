package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"viridian/client"
)

const (
	demoEnvironment = "shop"
	demoService     = "web"
	demoSite        = demoEnvironment + ".localhost" // the host that a single service without hosts answers to
	// demoPatience bounds the whole set-up, on a machine that is busy with other things.
	demoPatience = time.Minute
	// registryPatience is how long the registry may be in trouble meanwhile, as one that begins just now.
	registryPatience = 10 * time.Second
)

// demo sets up the environment of the demo through the API, as anybody would.
type demo struct {
	api   *client.ClientWithResponses
	fleet *demoFleet
	// registry is where the environment's groups are announced: Consul where there is one in this run.
	registry string
}

// newClient talks to the API at base with a token.
func newClient(base, token string) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(base,
		client.WithHTTPClient(&http.Client{Timeout: 30 * time.Second}),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
}

// ensure creates what is missing of the demo, and leaves alone what is there: at the first start everything, after
// an interrupted one the rest, later nothing. It returns the generations there then are, in order.
func (d *demo) ensure(ctx context.Context) ([]client.Generation, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	env, err := d.ensureEnvironment(ctx)
	if err != nil {
		return nil, err
	}
	for build := 1; build <= 2; build++ {
		number, err := d.ensureGeneration(ctx, build, env.Live != nil)
		if err != nil {
			return nil, err
		}
		if env.Live != nil { // the reader has it in hand
			continue
		}
		if err := d.awaitReady(ctx, number); err != nil {
			return nil, err
		}
		if build == 1 {
			if err := d.promote(ctx, number); err != nil {
				return nil, err
			}
		}
	}
	all, err := d.generations(ctx)
	slices.SortFunc(all, func(a, b client.Generation) int { return a.Number - b.Number })
	return all, err
}

func (d *demo) environment(ctx context.Context) (*client.Environment, error) {
	answer, err := d.api.ShowEnvironmentWithResponse(ctx, demoEnvironment)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode() == http.StatusNotFound {
		return nil, nil
	}
	return answer.JSON200, refused("show the environment", answer.ApplicationproblemJSONDefault)
}

func (d *demo) ensureEnvironment(ctx context.Context) (*client.Environment, error) {
	env, err := d.environment(ctx)
	if env != nil {
		return d.inRegistry(ctx, env)
	}
	if err != nil {
		return nil, err
	}
	name, description := demoEnvironment, "The demo of viridian dev"
	health, every, keep := client.HealthSpecType("http"), "500ms", "720h"
	answer, err := d.api.CreateEnvironmentWithResponse(ctx, nil, client.EnvironmentSpec{
		Name: &name, Description: &description, Registry: &d.registry,
		Services:  []client.Service{{Name: demoService, Health: &client.HealthSpec{Type: &health, Interval: &every}}},
		Retention: &client.RetentionSpec{KeepFor: &keep}, // the way back is still there after a holiday
	})
	if err != nil {
		return nil, err
	}
	return answer.JSON201, refused("create the environment", answer.ApplicationproblemJSONDefault)
}

// inRegistry moves the environment to the registry that there is in this run.
func (d *demo) inRegistry(ctx context.Context, env *client.Environment) (*client.Environment, error) {
	spec := env.Spec
	if spec.Registry != nil && *spec.Registry == d.registry {
		return env, nil
	}
	spec.Registry = &d.registry
	answer, err := d.api.PutEnvironmentWithResponse(ctx, demoEnvironment, nil, spec)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode() == http.StatusConflict { // a promotion is under way; the pages say what the registry lacks
		return env, nil
	}
	return answer.JSON200, refused("give the environment the registry "+d.registry, answer.ApplicationproblemJSONDefault)
}

// ensureGeneration returns the number that a build has, registering it when it has none. A retired one counts while
// the environment serves: then the reader has retired it. Without traffic it is from before the environment was deleted.
func (d *demo) ensureGeneration(ctx context.Context, build int, serves bool) (int, error) {
	known, err := d.generations(ctx)
	if err != nil {
		return 0, err
	}
	for _, g := range known {
		if g.Version == demoVersion(build) && (serves || g.State != "retired" && g.State != "retiring") {
			return g.Number, nil
		}
	}
	answer, err := d.api.RegisterGenerationWithResponse(ctx, demoEnvironment, nil, d.fleet.registration(build))
	if err != nil {
		return 0, err
	}
	if err := refused(fmt.Sprintf("register generation %d", build), answer.ApplicationproblemJSONDefault); err != nil {
		return 0, err
	}
	return answer.JSON201.Number, nil
}

func (d *demo) generations(ctx context.Context) ([]client.Generation, error) {
	var all []client.Generation
	limit := 200
	for page := (&client.ListGenerationsParams{Limit: &limit}); ; {
		answer, err := d.api.ListGenerationsWithResponse(ctx, demoEnvironment, page)
		if err != nil {
			return nil, err
		}
		if err := refused("list the generations", answer.ApplicationproblemJSONDefault); err != nil {
			return nil, err
		}
		all = append(all, answer.JSON200.Items...)
		if page.Cursor = answer.JSON200.NextCursor; page.Cursor == nil {
			return all, nil
		}
	}
}

// awaitReady polls until the generation is past its validation.
func (d *demo) awaitReady(ctx context.Context, number int) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		answer, err := d.api.ShowGenerationWithResponse(ctx, demoEnvironment, number)
		if err != nil {
			return err
		}
		if err := refused(fmt.Sprintf("show generation %d", number), answer.ApplicationproblemJSONDefault); err != nil {
			return err
		}
		switch g := answer.JSON200; g.State {
		case "registered", "validating":
		case "failed":
			return fmt.Errorf("generation %d of the demo failed: %s", number, g.Reason)
		default:
			return nil
		}
		env, err := d.environment(ctx)
		if err == nil && env != nil && env.RegistryTrouble != nil && time.Since(env.RegistryTrouble.Since) > registryPatience {
			return &troubleError{env.RegistryTrouble.Detail}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("generation %d of the demo did not become ready: %w", number, ctx.Err())
		}
	}
}

func (d *demo) promote(ctx context.Context, number int) error {
	reason := "the demo begins"
	answer, err := d.api.PromoteGenerationWithResponse(ctx, demoEnvironment, number, nil, client.PromoteRequest{Reason: &reason})
	if err != nil {
		return err
	}
	return refused(fmt.Sprintf("promote generation %d", number), answer.ApplicationproblemJSONDefault)
}

// refused makes an error of a problem; nil for none.
func refused(doing string, problem *client.Problem) error {
	if problem == nil {
		return nil
	}
	return fmt.Errorf("%s: %s (%s)", doing, problem.Detail, problem.Code)
}
