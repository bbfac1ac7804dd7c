package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/web"
)

// The form of the editor is a view of the JSON: an input's name is the path of its value, with dots. It offers what
// this version acts on; what else the JSON says stays as it is.

// maxFormServices bounds how many services a form is read for; ParseSpec refuses that many.
const maxFormServices = 64

// tree is JSON as encoding/json reads it into any.
type tree = map[string]any

// editorTree is what the editor holds now: the JSON, with the form's values in place of those that it has. JSON that
// cannot be read is refused, since what was typed there would be lost; only an empty one stands for what was loaded.
func editorTree(form url.Values, loaded []byte, withForm bool) (tree, error) {
	text := []byte(form.Get("json"))
	if withForm && strings.TrimSpace(form.Get("json")) == "" {
		text = loaded
	}
	out := tree{}
	if err := json.Unmarshal(text, &out); err != nil || out == nil {
		return nil, invalid("/json", "is not one JSON object")
	}
	if withForm {
		overlay(out, form)
	}
	return out, nil
}

// overlay puts the values of the form into the tree.
func overlay(out tree, form url.Values) {
	out["description"] = strings.ReplaceAll(form.Get("description"), "\r\n", "\n")
	for _, part := range []struct {
		key   string
		names []string
	}{{"validation", validationFields}, {"retention", retentionFields}} {
		inner, ok := out[part.key].(tree)
		if !ok {
			inner = tree{}
		}
		for _, name := range part.names {
			set(inner, name, form.Get(part.key+"."+name))
		}
		out[part.key] = inner
	}
	before, _ := out["services"].([]any)
	count, _ := strconv.Atoi(form.Get("services"))
	services := []any{}
	for i := range min(max(count, 0), maxFormServices) {
		service := tree{}
		if i < len(before) {
			if known, ok := before[i].(tree); ok {
				service = known
			}
		}
		overlayService(service, form, fmt.Sprintf("services.%d.", i))
		services = append(services, service)
	}
	out["services"] = services
}

var (
	validationFields = []string{"timeout", "valid_for", "min_healthy_percent", "min_capacity_percent"}
	retentionFields  = []string{"keep_for", "keep_generations", "drain"}
	healthFields     = []string{"path", "expect_status", "interval", "timeout", "healthy_after", "unhealthy_after"}
	numberFields     = []string{"min_healthy_percent", "min_capacity_percent", "keep_generations", "healthy_after", "unhealthy_after"}
)

func overlayService(service tree, form url.Values, at string) {
	service["name"] = strings.TrimSpace(form.Get(at + "name"))
	set(service, "catalog_name", form.Get(at+"catalog_name"))
	service["hosts"] = lines(form.Get(at + "hosts"))
	health, ok := service["health"].(tree)
	if !ok {
		health = tree{}
	}
	health["type"] = form.Get(at + "health.type")
	for _, name := range healthFields {
		if health["type"] == string(rollout.HealthTCP) && (name == "path" || name == "expect_status") {
			delete(health, name) // counts only with http
			continue
		}
		set(health, name, form.Get(at+"health."+name))
	}
	service["health"] = health
}

// set puts a text into the tree as what it stands for; an empty one leaves the default.
func set(inner tree, name, text string) {
	text = strings.TrimSpace(text)
	switch n, err := strconv.Atoi(text); {
	case text == "":
		delete(inner, name)
	case name == "expect_status":
		inner[name] = statuses(text)
	case slices.Contains(numberFields, name) && err == nil:
		inner[name] = n
	default:
		inner[name] = text
	}
}

// lines are the non-empty lines of a text, or its words.
func lines(text string) []any {
	out := []any{}
	for _, line := range strings.Fields(strings.ReplaceAll(text, ",", " ")) {
		out = append(out, line)
	}
	return out
}

func statuses(text string) []any {
	out := []any{}
	for _, word := range lines(text) {
		if n, err := strconv.Atoi(word.(string)); err == nil {
			out = append(out, n)
			continue
		}
		out = append(out, word)
	}
	return out
}

// editorView draws the tree as a form and as JSON. What is wrong stands beside its input.
func editorView(values tree, wrong []rollout.FieldError) (web.Editor, error) {
	text, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		return web.Editor{}, err
	}
	d := drawn{values: values, wrong: slices.Clone(wrong)}
	out := web.Editor{
		General:    []web.Field{{Name: "description", Label: "Description", Value: d.text("description"), Error: d.error("description"), Rows: 2}},
		Validation: d.fields("validation", []string{"timeout", "valid_for", "min_healthy_percent", "min_capacity_percent"}),
		Retention:  d.fields("retention", retentionFields),
		JSON: web.Field{Name: "json", Label: "The same as JSON", Value: string(text) + "\n", Rows: 32, Mono: true, Error: d.error("json"),
			Hint: "As the API takes it; what is left out has its default."},
	}
	services, _ := values["services"].([]any)
	for i := range min(len(services), maxFormServices) {
		out.Services = append(out.Services, d.service(i, len(services) == 1))
	}
	if len(d.wrong) > 0 {
		out.Problem = &web.Problem{Detail: "The settings have errors that no field of the form stands for."}
		for _, w := range d.wrong {
			out.Problem.Errors = append(out.Problem.Errors, fieldProblem(w, values))
		}
	}
	return out, nil
}

// drawn is a tree that is being drawn as a form. What is wrong is taken out of the list when its input is drawn.
type drawn struct {
	values tree
	wrong  []rollout.FieldError
}

// at finds the value of an input's name; nil where there is none.
func (d *drawn) at(name string) any {
	var value any = d.values
	for step := range strings.SplitSeq(name, ".") {
		switch inner := value.(type) {
		case tree:
			value = inner[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(inner) {
				return nil
			}
			value = inner[i]
		default:
			return nil
		}
	}
	return value
}

func (d *drawn) text(name string) string {
	switch value := d.at(name).(type) {
	case nil:
		return ""
	case []any:
		var words []string
		for _, item := range value {
			words = append(words, scalar(item))
		}
		return strings.Join(words, " ")
	default:
		return scalar(value)
	}
}

func scalar(value any) string {
	if f, ok := value.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

// error takes what is wrong with an input, or with something in its list.
func (d *drawn) error(name string) string {
	pointer := "/" + strings.ReplaceAll(name, ".", "/")
	var found []string
	entries, _ := d.at(name).([]any)
	d.wrong = slices.DeleteFunc(d.wrong, func(w rollout.FieldError) bool {
		own := w.Pointer == pointer || strings.HasPrefix(w.Pointer, pointer+"/")
		if own {
			found = append(found, entryWords(entries, strings.TrimPrefix(w.Pointer, pointer))+detailOf(w))
		}
		return own
	})
	return strings.Join(found, "; ")
}

// entryWords begins what is wrong with one entry of a list by naming it, where there are several.
func entryWords(entries []any, step string) string {
	i, err := strconv.Atoi(strings.TrimPrefix(step, "/"))
	if err != nil || i >= len(entries) || len(entries) < 2 {
		return ""
	}
	return called(entries[i], i) + " "
}

// hints tell what a field means, by the end of its name.
var hints = map[string]string{
	"timeout":              "Until it is staged, and until it is valid.",
	"valid_for":            "After that a ready generation is validated again.",
	"min_healthy_percent":  "Percent of its own, for each service.",
	"min_capacity_percent": "Percent of what live has, for each service.",
	"keep_for":             "How long a rollback stays possible.",
	"keep_generations":     "How many are kept warm at most.",
	"drain":                "How long open requests may go on.",
}

// labels are the names of fields for people, by the end of the input's name.
var labels = map[string]string{
	"timeout": "Time limit", "valid_for": "Valid for", "min_healthy_percent": "Healthy instances", "min_capacity_percent": "Capacity",
	"keep_for": "Keep for", "keep_generations": "Keep generations", "drain": "Drain", "path": "Path", "expect_status": "Expected status",
	"interval": "Interval", "healthy_after": "Healthy after", "unhealthy_after": "Unhealthy after",
}

func (d *drawn) fields(at string, names []string) []web.Field {
	var out []web.Field
	for _, name := range names {
		full := at + "." + name
		out = append(out, web.Field{Name: full, Label: labels[name], Value: d.text(full), Error: d.error(full), Hint: hints[name]})
	}
	return out
}

func (d *drawn) service(i int, only bool) web.EditorService {
	at := fmt.Sprintf("services.%d", i)
	name := d.text(at + ".name")
	out := web.EditorService{Index: i, Title: "Service " + name, Only: only, Fields: []web.Field{
		{Name: at + ".name", Label: "Name", Value: name, Error: d.error(at + ".name"), Hint: "Such as web: a-z, 0-9 and hyphens.", Mono: true},
		{Name: at + ".hosts", Label: "Hosts", Value: strings.ReplaceAll(d.text(at+".hosts"), " ", "\n"), Error: d.error(at + ".hosts"), Rows: 2, Mono: true,
			Hint: "One a line; none: under .localhost."},
		{Name: at + ".catalog_name", Label: "Name in Consul", Value: d.text(at + ".catalog_name"), Error: d.error(at + ".catalog_name"), Mono: true,
			Hint: "Empty: the environment's and the service's, joined by a hyphen."},
	}}
	if name == "" {
		out.Title = fmt.Sprintf("Service %d", i+1)
	}
	kind := d.text(at + ".health.type")
	out.Type = web.Choices{Name: at + ".health.type", Legend: "An instance is healthy when it", Error: d.error(at + ".health.type"), List: []web.Choice{
		{Value: string(rollout.HealthTCP), Label: "accepts a connection", Chosen: kind != string(rollout.HealthHTTP)},
		{Value: string(rollout.HealthHTTP), Label: "answers a request", Chosen: kind == string(rollout.HealthHTTP)},
	}}
	asked := healthFields
	if kind != string(rollout.HealthHTTP) { // these are not drawn, and so nothing can be said at them
		asked = slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return name == "path" || name == "expect_status" })
	}
	for _, f := range d.fields(at+".health", asked) {
		end := f.Name[strings.LastIndex(f.Name, ".")+1:]
		f.Hint = map[string]string{"path": "What is asked for.", "expect_status": "Such as 200-399.", "interval": "How often it is asked.",
			"timeout": "How long an answer may take.", "healthy_after": "Good answers in a row.", "unhealthy_after": "Bad answers in a row."}[end]
		out.Health = append(out.Health, f)
	}
	return out
}
