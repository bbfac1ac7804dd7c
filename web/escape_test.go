package web_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"golang.org/x/net/html"

	"viridian/web"
)

// hostile breaks out of text, of attributes in either quotes, of comments and of scripts, if anything lets it.
const hostile = `</title></textarea></script>--><script>alert(1)</script><img src=x onerror=alert(2)>" onclick="alert(3)' onfocus='alert(4) {{7*7}} ` + "`${alert(5)}`"

// poison replaces every text in a value by the payload, whatever its type, except those that the server makes itself of
// names that it has checked.
func poison(v reflect.Value, payload string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(payload)
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem(), payload)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				poison(v.Field(i), payload)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), payload)
		}
	}
}

// pages draws every page of this package that shows what somebody else wrote.
func pages(change func(v any)) map[string]templ.Component {
	p := page("Title", "environments")
	e, h, o, d, a, f := shop(), history(), overview(), generation(), audit(), fleet()
	badge := web.BadgeView{Name: "shop", Colour: "blue", Live: 42, Standing: e.Standing}
	for _, v := range []any{&p, &e, &h, &o, &d, &a, &f, &badge} {
		change(v)
	}
	var rows, cards, tiles []templ.Component
	for _, e := range o.Environments {
		rows, cards, tiles = append(rows, web.AttentionRow(e)), append(cards, web.EnvironmentCard(e)), append(tiles, web.Tile(e))
	}
	return map[string]templ.Component{
		"overview":    web.OverviewPage(p, o, templ.Join(rows...), templ.Join(cards...)),
		"environment": web.EnvironmentPage(p, e, h),
		"generation":  web.GenerationPage(p, d),
		"switches":    web.SwitchesPage(p, e, d.Switches, "next"),
		"audit":       web.AuditPage(p, a),
		"fleet":       web.FleetPage(p, f),
		"wall":        web.WallPage(p, o, templ.Join(tiles...)),
		"badge":       web.Badge(badge),
		"field":       web.Input(web.Field{Name: "n", Label: p.Title, Value: p.Title, Hint: p.Title, Error: p.Title, Rows: 3}),
		"dialog":      web.Dialog(p.Title),
	}
}

func TestPages_EscapeEverything(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{hostile, "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "//evil.example/x"} {
		for name, c := range pages(func(v any) { poison(reflect.ValueOf(v).Elem(), payload) }) {
			for _, wrong := range dangers(draw(t, c)) {
				t.Errorf("%s with %.20q: %s", name, payload, wrong)
			}
		}
	}
}

// TestDangers_AreSeen: the test above can fail.
func TestDangers_AreSeen(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`<p onclick="x">`, `<script>1</script>`, `<script src="https://evil/x.js"></script>`, `<a href="javascript:alert(1)">x</a>`,
		`<p style="color:red">`, `<style></style>`, `<a hx-get="javascript:alert(1)">x</a>`, `<a href="//evil.example">x</a>`, `<img src=x>`, `<b hx-on:click="x">`} {
		if len(dangers(bad)) == 0 {
			t.Errorf("nothing wrong was found in %s", bad)
		}
	}
}

// addresses are the attributes that lead somewhere.
var addresses = []string{"href", "src", "action", "formaction", "hx-get", "hx-post", "hx-sse:connect"}

// dangers lists what a browser would run, load or style that is not ours.
func dangers(text string) []string {
	var out []string
	for tokens := html.NewTokenizer(strings.NewReader(text)); ; {
		switch tokens.Next() {
		case html.ErrorToken:
			return out
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			if slices.Contains([]string{"style", "img", "iframe", "object", "embed", "base"}, token.Data) {
				out = append(out, "an element "+token.Data)
			}
			if token.Data == "script" && !strings.HasPrefix(attribute(token, "src"), "/assets/") {
				out = append(out, "a script that is not ours")
			}
			for _, a := range token.Attr {
				out = append(out, dangerOf(token, a)...)
			}
		}
	}
}

func dangerOf(token html.Token, a html.Attribute) []string {
	switch {
	case strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Key, "hx-on") || a.Key == "hx-vals":
		return []string{fmt.Sprintf("%s has %s", token.Data, a.Key)}
	case slices.Contains(addresses, a.Key):
		value := strings.ToLower(strings.TrimSpace(a.Val))
		outside := token.Data == "a" && a.Key == "href" && attribute(token, "rel") == "noreferrer" && strings.HasPrefix(value, "https://")
		if !outside && (strings.HasPrefix(value, "//") || strings.Contains(strings.SplitN(value, "/", 2)[0], ":")) {
			return []string{fmt.Sprintf("%s leads to %s", a.Key, a.Val)}
		}
	}
	return nil
}

func attribute(token html.Token, name string) string {
	for _, a := range token.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// draw renders a component.
func draw(t *testing.T, c templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
