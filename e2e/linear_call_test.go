package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"viridian/client"
)

// spoken is what came back of a call.
type spoken struct {
	status  int
	sw      *client.Switch
	route   *client.Route
	seen    *client.Generation
	problem *client.Problem
	body    []byte
}

// call sends a demand to one replica. Commands wait for nothing but their commit.
func (d demand) call(ctx context.Context, door *client.ClientWithResponses, environment, key string) (spoken, error) {
	wait := client.WaitCommitted
	expected := &d.expected
	if d.expected == 0 {
		expected = nil
	}
	switch d.verb {
	case doPromote:
		res, err := door.PromoteGenerationWithResponse(ctx, environment, d.generation, &client.PromoteGenerationParams{Wait: &wait, IdempotencyKey: &key},
			client.PromoteRequest{Reason: &key, ExpectedRevision: expected, Supersede: &d.supersede})
		if err != nil {
			return spoken{}, err
		}
		return flipped(res.JSON200, res.JSON202, res.ApplicationproblemJSONDefault, res.HTTPResponse, res.Body), nil
	case doRollback:
		res, err := door.RollbackWithResponse(ctx, environment, &client.RollbackParams{Wait: &wait, IdempotencyKey: &key},
			client.RollbackRequest{Reason: &key, ExpectedRevision: expected, From: named(d.generation), To: named(d.to)})
		if err != nil {
			return spoken{}, err
		}
		return flipped(res.JSON200, res.JSON202, res.ApplicationproblemJSONDefault, res.HTTPResponse, res.Body), nil
	case doWeights:
		res, err := door.SetWeightsWithResponse(ctx, environment, &client.SetWeightsParams{Wait: &wait, IdempotencyKey: &key},
			client.WeightsRequest{Reason: &key, ExpectedRevision: expected,
				Weights: client.Weights{strconv.Itoa(d.generation): d.share, strconv.Itoa(d.partner): 100 - d.share}})
		if err != nil {
			return spoken{}, err
		}
		return flipped(res.JSON200, res.JSON202, res.ApplicationproblemJSONDefault, res.HTTPResponse, res.Body), nil
	case doRetire:
		res, err := door.RetireGenerationWithResponse(ctx, environment, d.generation, &client.RetireGenerationParams{IdempotencyKey: &key},
			client.RetireRequest{Reason: &key})
		if err != nil {
			return spoken{}, err
		}
		return spoken{status: res.StatusCode(), seen: res.JSON202, problem: res.ApplicationproblemJSONDefault, body: res.Body}, nil
	case doValidate:
		res, err := door.ValidateGenerationWithResponse(ctx, environment, d.generation, &client.ValidateGenerationParams{IdempotencyKey: &key})
		if err != nil {
			return spoken{}, err
		}
		return spoken{status: res.StatusCode(), seen: res.JSON202, problem: res.ApplicationproblemJSONDefault, body: res.Body}, nil
	}
	return d.read(ctx, door, environment)
}

func (d demand) read(ctx context.Context, door *client.ClientWithResponses, environment string) (spoken, error) {
	if d.verb == doRoute {
		res, err := door.ShowRouteWithResponse(ctx, environment)
		if err != nil {
			return spoken{}, err
		}
		return spoken{status: res.StatusCode(), route: res.JSON200, problem: res.ApplicationproblemJSONDefault, body: res.Body}, nil
	}
	res, err := door.ShowGenerationWithResponse(ctx, environment, d.generation)
	if err != nil {
		return spoken{}, err
	}
	return spoken{status: res.StatusCode(), seen: res.JSON200, problem: res.ApplicationproblemJSONDefault, body: res.Body}, nil
}

func flipped(reached, committed *client.Switch, p *client.Problem, res *http.Response, body []byte) spoken {
	if reached == nil {
		reached = committed
	}
	return spoken{status: res.StatusCode, sw: reached, problem: p, body: body}
}

// named is a generation's number in a request, nil for none.
func named(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// reply is what the answer says to the model.
func (s spoken) reply(d demand) (reply, error) {
	switch {
	case s.problem != nil && s.problem.Revision == nil:
		return reply{code: s.problem.Code}, nil
	case s.problem != nil:
		r := reply{code: s.problem.Code, revision: *s.problem.Revision}
		if match := whichState.FindStringSubmatch(s.problem.Detail); match != nil && r.code == client.CodeGenerationNotReady {
			r.state = asModelled(client.GenerationState(match[1]))
		}
		return r, nil
	case s.sw != nil && !s.sw.Changed:
		return reply{revision: s.sw.Revision}, nil
	case s.sw != nil:
		weights, err := sharesFrom(s.sw.Weights)
		return reply{revision: s.sw.Revision, changed: true, weights: weights}, err
	case s.route != nil:
		weights, err := sharesFrom(s.route.Weights)
		return reply{revision: s.route.Revision, live: number(s.route.Live), previous: number(s.route.Previous), weights: weights}, err
	case s.seen != nil && d.verb == doLook:
		return reply{state: asModelled(s.seen.State)}, nil
	case s.seen != nil:
		return reply{}, nil
	}
	return reply{}, fmt.Errorf("answered with %d %s", s.status, s.body)
}

// whichState finds the state for which a generation is not ready; a refusal for its health has another text.
var whichState = regexp.MustCompile(`^generation \d+ is (\w+)`)

// asModelled is the state as the model knows it: a retirement ends by itself.
func asModelled(state client.GenerationState) client.GenerationState {
	if state == client.GenerationStateRetired {
		return client.GenerationStateRetiring
	}
	return state
}

func sharesFrom(weights client.Weights) (out shares, err error) {
	for text, share := range weights {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > kinship || share < 0 || share > 100 {
			return out, fmt.Errorf("weights %v", weights)
		}
		out[n] = uint8(share)
	}
	return out, nil
}
