package consul_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router/consul"
)

var templateBlock = regexp.MustCompile("(?s)```ctmpl\n(.*?)```")

// TestGuide_Templates renders the templates of GUIDE.md, word for word, from the key that a route was published in, by the
// engine and the two functions that consul-template has.
func TestGuide_Templates(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := templateBlock.FindAllStringSubmatch(string(guide), -1)
	if len(blocks) != 2 {
		t.Fatalf("the guide has %d templates", len(blocks))
	}
	w := newTown(t, consultest.Dev(t), "web", "api")
	p := newPointer(w)
	w.stage(p, w.generation(41, "web"), w.generation(42, "web", "api"))
	w.apply(p, 17, rollout.Weights{41: 90, 42: 10})
	for i, want := range []string{`upstream shop_web_nobody {
    server 127.0.0.1:9 down;
}
upstream shop_web_g41 {
    server 10.0.0.41:8041;
}
upstream shop_web_g42 {
    server 10.0.0.42:8042;
}
split_clients $request_id $shop_web {
    90% shop_web_g41;
    10% shop_web_g42;
    * shop_web_nobody;
}
`, `route add shop-web web.example.com/ http://10.0.0.41:8041/ tags "g41"
route weight shop-web web.example.com/ weight 0.90 tags "g41"
route add shop-web web.example.com/ http://10.0.0.42:8042/ tags "g42"
route weight shop-web web.example.com/ weight 0.10 tags "g42"
route add shop-api api.example.com/ http://10.0.0.42:8042/ tags "g42"
route weight shop-api api.example.com/ weight 0.10 tags "g42"
`} {
		if diff := cmp.Diff(want, w.render(blocks[i][1])); diff != "" {
			t.Errorf("template %d (-want +got):\n%s", i, diff)
		}
	}
	w.apply(p, 18, rollout.Weights{42: 100})
	if got := w.render(blocks[1][1]); !strings.Contains(got, `weight 1 tags "g42"`) || strings.Contains(got, "g41") {
		t.Errorf("all to one generation: %s", got)
	}
	w.apply(p, 19, nil)
	if got := w.render(blocks[0][1]); !strings.Contains(got, "* shop_web_nobody;") || strings.Contains(got, "g4") {
		t.Errorf("without weights: %s", got)
	}
}

func (w *town) render(text string) string {
	w.Helper()
	made, err := template.New("").Funcs(template.FuncMap{
		"key": func(name string) (string, error) {
			pair, _, err := w.client.KV().Get(name, nil)
			return string(pair.Value), err
		},
		"parseJSON": func(text string) (value any, err error) { return value, json.Unmarshal([]byte(text), &value) },
	}).Parse(text)
	if err != nil {
		w.Fatal(err)
	}
	var out strings.Builder
	if err := made.Execute(&out, nil); err != nil {
		w.Fatal(err)
	}
	return out.String()
}

// TestGuide_JSON: what the guide shows of the key is what is published.
func TestGuide_JSON(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(guide)
	var shown consul.Published
	decoder := json.NewDecoder(strings.NewReader(string(block[1])))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&shown); err != nil {
		t.Fatal(err)
	}
	one := consul.PublishedInstance{ID: "web-1", Address: "10.0.0.1", Port: 8001, HostPort: "10.0.0.1:8001"}
	two := consul.PublishedInstance{ID: "web-1", Address: "10.0.0.2", Port: 8002, HostPort: "10.0.0.2:8002"}
	live, previous := 42, 41
	group := func(generation, weight int, in consul.PublishedInstance) consul.PublishedGroup {
		return consul.PublishedGroup{Service: "web", Name: "shop-web", Hosts: []string{"shop.example.com"}, Generation: generation, Weight: weight,
			Instances: []consul.PublishedInstance{in}}
	}
	want := consul.Published{Environment: "shop", Revision: 17, SpecVersion: 1, Live: &live, Previous: &previous,
		Weights: map[string]int{"41": 90, "42": 10}, Groups: []consul.PublishedGroup{group(41, 90, one), group(42, 10, two)}, Sum: shown.Sum}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("the key as the guide shows it (-want +got):\n%s", diff)
	}
}
