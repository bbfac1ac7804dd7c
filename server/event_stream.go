package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/store"
)

const (
	// heartbeat is how often a comment goes out while nothing happens.
	heartbeat = 15 * time.Second
	// streamPoll is how often the database is asked for events that no hint told of.
	streamPoll = time.Second
	// streamWrite is how long a reader may take to take in what is written.
	streamWrite = 10 * time.Second
)

// StreamEvents answers with what happens from now on, or behind the event that the caller saw last.
func (h handlers) StreamEvents(ctx context.Context, request api.StreamEventsRequestObject) (api.StreamEventsResponseObject, error) {
	caller := callOf(ctx).caller
	filter, err := eventFilter(caller, "event.stream", request.Params.Environment, request.Params.Kind)
	if err != nil {
		return nil, err
	}
	filter.Limit = store.MaxLimit
	last, err := h.Store.LastEventID(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case request.Params.LastEventID != nil:
		filter.After = min(last, *request.Params.LastEventID)
	case request.Params.After != nil:
		filter.After = min(last, *request.Params.After)
	default:
		filter.After = last
	}
	return &eventStream{server: h.server, ctx: ctx, caller: caller, filter: filter}, nil
}

// eventStream is one open stream. It belongs to the request's goroutine.
type eventStream struct {
	*server
	ctx    context.Context // the request's: the generated interface has no other way to hand it on
	caller Caller
	filter store.EventFilter
	failed bool // the database did not answer the last time
}

// VisitStreamEventsResponse writes until the caller goes, its token ends, or the server stops.
func (s *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	wake := make(chan struct{}, 1)
	defer s.Service.Hub.Subscribe(s.filter.Environment, s.waker(wake))()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // a buffering proxy in front would hold events back
	w.WriteHeader(http.StatusOK)
	connection := http.NewResponseController(w)
	// A connection that knows no deadlines has none to move.
	_ = connection.SetReadDeadline(time.Time{})
	if s.send(w, connection, []byte("retry: 1000\n\n")) != nil || callOf(s.ctx).head {
		return nil
	}
	poll, alive := s.Clock.NewTicker(streamPoll), s.Clock.NewTicker(heartbeat)
	defer poll.Stop()
	defer alive.Stop()
	for {
		more, err := s.step(w, connection)
		if err != nil {
			return nil // the reader or its right to read is gone: the end of the stream says so
		}
		if !more && !s.pause(w, connection, wake, poll, alive) {
			return nil
		}
	}
}

// waker is told what happens in this process, and wakes the stream where there may be an event in it: readings that
// are only newer come all the time, and leave an environment's version as it is.
func (s *eventStream) waker(wake chan<- struct{}) func(name string, e *rollout.Environment) {
	versions := map[string]int64{} // the hub calls one at a time
	return func(name string, e *rollout.Environment) {
		if name != "" && !s.caller.Sees(name) || e != nil && e.Version == versions[name] {
			return
		}
		if e != nil {
			versions[name] = e.Version
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// pause waits for the next look; false when the stream ends.
func (s *eventStream) pause(w http.ResponseWriter, connection *http.ResponseController, wake <-chan struct{}, poll, alive clockwork.Ticker) bool {
	select {
	case <-wake:
	case <-poll.Chan():
	case <-alive.Chan():
		s.rewind()
		return s.send(w, connection, []byte(": alive\n\n")) == nil
	case <-s.ctx.Done():
		return false
	case <-s.running.Done():
		return false
	}
	return true
}

// rewind goes back to the last event that there is. Ids only grow, but for a database that was restored from an older
// copy: whoever waited for the ids of before would hear nothing until all of them were given out again.
func (s *eventStream) rewind() {
	ctx, cancel := context.WithTimeout(s.ctx, s.Service.CallTimeout)
	defer cancel()
	last, err := s.Store.LastEventID(ctx)
	if err != nil || last >= s.filter.After {
		return // the next look tells of the error
	}
	s.Log.Warn("event stream goes back: the database was restored from an older copy", "request_id", callOf(s.ctx).id, "from", s.filter.After, "to", last)
	s.filter.After = last
}

// step writes what is new; more says that there may be still more.
func (s *eventStream) step(w http.ResponseWriter, connection *http.ResponseController) (more bool, err error) {
	events, err := s.next()
	var refusal *rollout.Refusal
	switch {
	case errors.As(err, &refusal) || s.ctx.Err() != nil:
		return false, errors.Join(err, s.ctx.Err())
	case err != nil:
		if !s.failed {
			s.Log.Warn("event stream waits for the database", "request_id", callOf(s.ctx).id, "error", err)
		}
		s.failed = true
		return false, nil
	}
	s.failed = false
	var out bytes.Buffer
	for _, e := range events {
		data, err := json.Marshal(eventOf(e))
		if err != nil {
			return false, err
		}
		fmt.Fprintf(&out, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, data)
		s.filter.After = e.ID
	}
	if out.Len() == 0 {
		return false, nil
	}
	return len(events) == s.filter.Limit, s.send(w, connection, out.Bytes())
}

// next reads the next events, if the token may still be used.
func (s *eventStream) next() ([]rollout.Event, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.Service.CallTimeout)
	defer cancel()
	if _, err := s.token(ctx, s.caller.TokenID); err != nil {
		return nil, err
	}
	return s.Store.Events(ctx, s.filter)
}

func (s *eventStream) send(w http.ResponseWriter, connection *http.ResponseController, text []byte) error {
	_ = connection.SetWriteDeadline(time.Now().Add(streamWrite)) // where there are deadlines
	if _, err := w.Write(text); err != nil {
		return err
	}
	return connection.Flush()
}
