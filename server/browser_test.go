package server

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is one person's: it keeps cookies as browsers do on their own machine, and follows no redirect by itself.
type browser struct {
	w      *world
	http   *http.Client
	cookie string // what it presents as its session
	page   answer // the last one
	script bool   // asks as the script of the pages does
}

// newBrowser is one that nobody is signed in with.
func (w *world) newBrowser() *browser {
	w.t.Helper()
	return &browser{w: w, http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signedIn is a browser that is signed in with a token of the role for all environments.
func (w *world) signedIn(role Role) *browser {
	w.t.Helper()
	b := w.newBrowser()
	b.signIn(w.token(role, "*"))
	return b
}

func (b *browser) signIn(token string) {
	b.w.t.Helper()
	if b.send("POST", "/login", url.Values{"token": {token}}, nil); b.page.status != http.StatusSeeOther || b.cookie == "" {
		b.w.t.Fatalf("sign in: %d %s", b.page.status, b.page.body)
	}
}

// send sends a form, or asks for a page where there is none. Headers that are given replace the browser's.
func (b *browser) send(method, path string, form url.Values, header map[string]string) answer {
	b.w.t.Helper()
	r, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	set := map[string]string{"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "User-Agent": "test"}
	if form != nil {
		set["Content-Type"], set["Origin"] = "application/x-www-form-urlencoded", b.w.url
	}
	if b.script {
		set["HX-Request"] = "true"
	}
	if b.cookie != "" {
		set["Cookie"] = sessionCookie + "=" + b.cookie
	}
	for name, value := range header {
		set[name] = value
	}
	for name, value := range set {
		switch {
		case name == "Host":
			r.Host = value
		case value != "":
			r.Header.Set(name, value)
		}
	}
	got, err := b.http.Do(r)
	if err != nil {
		b.w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	for _, cookie := range got.Cookies() {
		if cookie.Name == sessionCookie {
			b.cookie = cookie.Value
			b.checkCookie(cookie)
		}
	}
	b.page = answer{status: got.StatusCode, header: got.Header, body: string(body)}
	return b.page
}

// checkCookie holds the cookie against what its prefix promises.
func (b *browser) checkCookie(c *http.Cookie) {
	b.w.t.Helper()
	if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		b.w.t.Errorf("the session's cookie: %s", c.Raw)
	}
}

func (b *browser) get(path string) answer { b.w.t.Helper(); return b.send("GET", path, nil, nil) }

// open asks for a page that has to be there.
func (b *browser) open(path string) answer {
	b.w.t.Helper()
	a := b.get(path)
	if a.status != http.StatusOK {
		b.w.t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	return a
}

var (
	inputs   = regexp.MustCompile(`<input ([^>]*)>`)
	areas    = regexp.MustCompile(`(?s)<textarea ([^>]*)>(.*?)</textarea>`)
	selected = regexp.MustCompile(`(?:^| )checked(?: |=|/|$)`)
)

func attribute(text, name string) string {
	match := regexp.MustCompile(`(?:^|\s)` + name + `="([^"]*)"`).FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return unescape(match[1])
}

func unescape(text string) string {
	return strings.NewReplacer("&#34;", `"`, "&quot;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(text)
}

// fields are what the form of the last page that is sent to the path would send as it is.
func (b *browser) fields(path string) url.Values {
	b.w.t.Helper()
	_, rest, found := strings.Cut(b.page.body, ` action="`+path+`"`)
	if !found {
		b.w.t.Fatalf("the page has no form for %s:\n%s", path, b.page.body)
	}
	form, _, _ := strings.Cut(rest, "</form>")
	out := url.Values{}
	for _, input := range inputs.FindAllStringSubmatch(form, -1) {
		kind := attribute(input[1], "type")
		if (kind == "radio" || kind == "checkbox") && !selected.MatchString(input[1]) {
			continue
		}
		out.Add(attribute(input[1], "name"), attribute(input[1], "value"))
	}
	for _, area := range areas.FindAllStringSubmatch(form, -1) {
		out.Add(attribute(area[1], "name"), unescape(area[2]))
	}
	return out
}

// do opens the dialog at the path, fills fields in and sends it.
func (b *browser) do(path string, fill ...string) answer {
	b.w.t.Helper()
	b.open(path)
	return b.submit(path, fill...)
}

// submit sends the form of the last page with some fields filled in: name, value, name, value …
func (b *browser) submit(path string, fill ...string) answer {
	b.w.t.Helper()
	action, _, _ := strings.Cut(path, "?")
	form := b.fields(action)
	for i := 0; i < len(fill); i += 2 {
		form.Set(fill[i], fill[i+1])
	}
	return b.send("POST", action, form, nil)
}

// follow goes where the last answer leads.
func (b *browser) follow() answer {
	b.w.t.Helper()
	if b.page.status != http.StatusSeeOther {
		b.w.t.Fatalf("%d leads nowhere: %s", b.page.status, b.page.body)
	}
	return b.open(b.page.header.Get("Location"))
}

// wants fails when the last page does not say this.
func (b *browser) wants(texts ...string) {
	b.w.t.Helper()
	for _, text := range texts {
		if !strings.Contains(unescape(b.page.body), text) {
			b.w.t.Errorf("the page does not say %q:\n%s", text, b.page.body)
		}
	}
}

func TestBrowser_ReadsForms(t *testing.T) {
	t.Parallel()
	b := &browser{w: &world{t: t}}
	b.page.body = `<form action="/x"><input type="hidden" name="a" value="1 &lt; 2"><input type="checkbox" name="b" value="true"/>` +
		`<input type="radio" name="c" value="1"><input type="radio" name="c" value="2" checked><textarea name="d" rows="2">x &amp; y</textarea></form>`
	got := b.fields("/x")
	if got.Get("a") != "1 < 2" || got.Has("b") || got.Get("c") != "2" || got.Get("d") != "x & y" {
		t.Errorf("%v", got)
	}
}
