package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "viridian"

// anything is the entry of a package that wires or measures the whole.
const anything = "*"

// arrows says which of our packages each package may import. A package that is not here fails the test: give it its
// place, and ARCHITECTURE.md its line.
var arrows = map[string][]string{
	".":                     {"cli"},
	"audit":                 {"rollout"},
	"bench":                 {anything},
	"cli":                   {anything},
	"client":                {},
	"e2e":                   {"rollout/controller"},
	"failpoint":             {},
	"migrations":            {},
	"probe":                 {"rollout"},
	"registry":              {"rollout"},
	"registry/consul":       {"registry", "rollout", "probe"},
	"registry/consultest":   {},
	"registry/registrytest": {"registry", "rollout"},
	"registry/static":       {"registry", "rollout", "probe"},
	"rollout":               {},
	"rollout/check":         {"rollout"},
	"rollout/controller":    {"rollout", "rollout/check", "router", "registry", "failpoint"},
	"rollout/search":        {"rollout"},
	"router":                {"rollout"},
	"router/builtin":        {"router", "rollout", "probe", "failpoint"},
	"router/consul":         {"router", "rollout", "failpoint"},
	"router/haproxy":        {"router", "rollout", "failpoint"},
	"router/routertest":     {"router", "rollout"},
	"server":                {"server/api", "audit", "rollout", "rollout/controller", "router", "store", "web", "web/docs", "failpoint"},
	"server/api":            {},
	"store":                 {"audit", "rollout", "rollout/controller", "migrations", "failpoint"},
	"store/pglocal":         {},
	"store/storetest":       {"store", "store/pglocal", "migrations"},
	"web":                   {"rollout"},
	"web/browser":           {},
	"web/docs":              {},
}

// testArrows are packages that any test may import besides, except the tests of rollout.
var testArrows = []string{
	"client", "failpoint", "migrations", "rollout", "store",
	"store/pglocal", "store/storetest", "router/builtin", "router/routertest", "registry", "registry/consul", "registry/consultest", "registry/static", "registry/registrytest",
}

// outside says which packages may import a foreign one, tests left out.
var outside = map[string][]string{
	"github.com/jackc/pgx":        {"store", "store/pglocal", "store/storetest", "migrations", "bench"},
	"github.com/hashicorp/consul": {"cli", "e2e", "registry/consul", "registry/consultest", "router/consul"},
	"net/http":                    {"bench", "cli", "client", "server", "server/api", "web", "web/docs", "probe", "registry/consul", "rollout/check", "router/builtin", "router/consul", "router/haproxy", "router/routertest", "registry/registrytest"},
}

// pure lists what rollout may not import: it has no I/O and no clock.
var pure = regexp.MustCompile(`^(os|net|net/http|io/fs|log|log/slog|database/.*|syscall|context|math/rand.*|crypto/rand|.*\..*/.*)$`)

// pureParser is the one package of another module that rollout may import: it turns a text into a tree, and no more.
const pureParser = "github.com/hashicorp/go-bexpr/grammar"

var forbiddenNames = []string{"util", "utils", "common", "model", "models", "helper", "helpers", "interfaces", "misc", "base", "shared", "types"}

type goPackage struct {
	Dir, ImportPath, Name              string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// short is the package's folder in the module, "." for the top.
func (p goPackage) short() string { return short(p.ImportPath) }

func short(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=Dir,ImportPath,Name,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		allowed, known := arrows[p.short()]
		if !known {
			t.Errorf("package %s has no place in the table of arrows", p.short())
			continue
		}
		for _, imported := range p.Imports {
			if ours(imported) && !slices.Contains(allowed, anything) && !slices.Contains(allowed, short(imported)) {
				t.Errorf("%s imports %s; it may import %v", p.short(), short(imported), allowed)
			}
			checkOutside(t, p.short(), imported)
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if ours(imported) && !testMayImport(p.short(), allowed, short(imported)) {
				t.Errorf("a test of %s imports %s; it may import %v and %v", p.short(), short(imported), allowed, testArrows)
			}
		}
	}
}

func testMayImport(from string, allowed []string, to string) bool {
	if from == to || slices.Contains(allowed, anything) || slices.Contains(allowed, to) {
		return true
	}
	return from != "rollout" && slices.Contains(testArrows, to)
}

func checkOutside(t *testing.T, from, imported string) {
	t.Helper()
	for foreign, users := range outside {
		if (imported == foreign || strings.HasPrefix(imported, foreign+"/")) && !slices.Contains(users, from) {
			t.Errorf("%s imports %s, which belongs in %v", from, imported, users)
		}
	}
	if from == "rollout" && pure.MatchString(imported) && imported != pureParser {
		t.Errorf("rollout imports %s; it is pure: no I/O, no clock, no other module", imported)
	}
}

// TestArrows_HaveNoCycle looks at the table itself: what the compiler forbids only once somebody has drawn it.
func TestArrows_HaveNoCycle(t *testing.T) {
	const walking, done = 1, 2
	state := make(map[string]int)
	var walk func(from string, trail []string)
	walk = func(from string, trail []string) {
		switch state[from] {
		case done:
			return
		case walking:
			t.Errorf("a cycle of arrows: %v", append(trail, from))
			return
		}
		state[from] = walking
		for _, to := range arrows[from] {
			if _, known := arrows[to]; !known && to != anything {
				t.Errorf("the arrow %s → %s leads nowhere", from, to)
			}
			walk(to, append(slices.Clone(trail), from))
		}
		state[from] = done
	}
	for from := range arrows {
		walk(from, nil)
	}
}

func TestPackages_NamesAndDocs(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(forbiddenNames, path.Base(p.short())) || slices.Contains(forbiddenNames, p.Name) {
			t.Errorf("%s: the name says nothing about what is in the package", p.short())
		}
		if p.short() == "." || len(p.GoFiles) == 0 {
			continue
		}
		doc, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil || !bytes.Contains(bytes.ToLower(doc), []byte("start reading at")) {
			t.Errorf("%s needs a doc.go that ends \"start reading at FILE\"", p.short())
			continue
		}
		checkStart(t, p, string(doc))
	}
}

var start = regexp.MustCompile(`(?i)start reading at (?:\S+ in )?([\w./-]+\.go)`)

func checkStart(t *testing.T, p goPackage, doc string) {
	t.Helper()
	match := start.FindStringSubmatch(doc)
	if match == nil {
		t.Errorf("%s/doc.go names no file to start reading at", p.short())
		return
	}
	if _, err := os.Stat(filepath.Join(p.Dir, match[1])); err != nil {
		t.Errorf("%s/doc.go says to start at %s, which is not there", p.short(), match[1])
	}
}

// maxLines is where a file is split, or says in a comment "Long because: …" why not.
const maxLines = 400

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFiles_AreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.Count(text, []byte("\n"))
			if lines > maxLines && !generated.Match(text) && !bytes.Contains(text, []byte("// Long because: ")) {
				t.Errorf("%s has %d lines: split it, or say \"// Long because: …\"", path.Join(p.short(), name), lines)
			}
		}
	}
}

// TestSource looks for two things that imports do not show: a clock in rollout, and SQL put together from parts.
func TestSource(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if n == nil {
					return false
				}
				where := path.Join(p.short(), name)
				if p.short() == "rollout" && readsClock(n) {
					t.Errorf("%s:%d reads the clock; rollout is given its now", where, files.Position(n.Pos()).Line)
				}
				// A database's name cannot be a parameter; these two make databases, with pgx.Identifier.
				if p.short() != "store/pglocal" && p.short() != "store/storetest" && buildsSQL(n) {
					t.Errorf("%s:%d builds SQL from parts; use parameters", where, files.Position(n.Pos()).Line)
				}
				return true
			})
		}
	}
}

func readsClock(n ast.Node) bool {
	selector, ok := n.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && from.Name == "time" &&
		slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}, selector.Sel.Name)
}

var sqlStart = regexp.MustCompile("(?i)^[`\"]\\s*(SELECT\\s|INSERT\\s+INTO|UPDATE\\s+\\S+\\s+SET|DELETE\\s+FROM|WITH\\s+\\S+\\s+AS|(CREATE|ALTER|DROP)\\s+(TABLE|DATABASE|ROLE|INDEX))")

// buildsSQL is true for fmt.Sprintf of an SQL text, and for an SQL text + something that is neither text nor constant.
func buildsSQL(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		selector, ok := n.Fun.(*ast.SelectorExpr)
		return ok && strings.HasPrefix(selector.Sel.Name, "Sprint") && len(n.Args) > 0 && isSQL(n.Args[0])
	case *ast.BinaryExpr:
		if n.Op != token.ADD || !isSQL(n.X) {
			return false
		}
		_, call := n.Y.(*ast.CallExpr)
		return call
	}
	return false
}

func isSQL(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return e.Kind == token.STRING && sqlStart.MatchString(e.Value)
	case *ast.BinaryExpr:
		return isSQL(e.X)
	}
	return false
}
