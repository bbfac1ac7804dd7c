package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"viridian/rollout"
)

var documents = []string{"README.md", "ARCHITECTURE.md", "registry/consul/GUIDE.md", "router/haproxy/GUIDE.md", "router/consul/GUIDE.md"}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fence    = regexp.MustCompile("(?s)```.*?```")
	quoted   = regexp.MustCompile("`([^`\n]+)`")
	pathLike = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*/?$`)
	fileLike = regexp.MustCompile(`\.(go|md|yaml|yml|sql|json|templ|sh)$`)
	symbol   = regexp.MustCompile(`^([a-z]\w*)\.([A-Z]\w*)(?:\.([A-Z]\w*))?$`)
	target   = regexp.MustCompile(`\bmake ([a-z]+)\b`)
)

// notInRepository are paths and keys that documents name and that exist only at run time.
var notInRepository = []string{".viridian/", ".viridian/token", "viridian.yaml", "bin/viridian", "viridian/incarnation", "viridian/shop/route"}

// TestDocs_Paths fails when a document names, in backticks, a file or folder that is not there.
func TestDocs_Paths(t *testing.T) {
	for _, name := range documents {
		found := 0
		for _, match := range quoted.FindAllStringSubmatch(fence.ReplaceAllString(document(t, name), ""), -1) {
			word := match[1]
			looksLikePath := pathLike.MatchString(word) && (strings.Contains(word, "/") || fileLike.MatchString(word))
			if !looksLikePath || slices.Contains(notInRepository, word) {
				continue
			}
			found++
			if _, err := os.Stat(word); err != nil {
				t.Errorf("%s names `%s`, which is not there", name, word)
			}
		}
		if found == 0 {
			t.Errorf("%s names no path: has the form of paths changed?", name)
		}
	}
}

// TestDocs_Symbols fails when a document names, in backticks, an exported symbol of a package of ours that is gone.
func TestDocs_Symbols(t *testing.T) {
	exports := make(map[string]map[string]bool)
	for _, p := range packages(t) {
		exports[p.Name] = exported(t, p)
	}
	for _, name := range documents {
		for _, match := range quoted.FindAllStringSubmatch(fence.ReplaceAllString(document(t, name), ""), -1) {
			parts := symbol.FindStringSubmatch(match[1])
			if parts == nil || exports[parts[1]] == nil {
				continue
			}
			key := parts[2]
			if parts[3] != "" {
				key += "." + parts[3]
			}
			if !exports[parts[1]][key] {
				t.Errorf("%s names `%s`, which is not there", name, match[1])
			}
		}
	}
}

// exported collects a package's exported names, methods and interface methods as Type.Method.
func exported(t *testing.T, p goPackage) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, file := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				names[receiver(decl)+decl.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					addSpec(names, spec)
				}
			}
		}
	}
	return names
}

func receiver(decl *ast.FuncDecl) string {
	if decl.Recv == nil {
		return ""
	}
	kind := decl.Recv.List[0].Type
	if pointer, ok := kind.(*ast.StarExpr); ok {
		kind = pointer.X
	}
	if name, ok := kind.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

func addSpec(names map[string]bool, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			names[name.Name] = true
		}
	case *ast.TypeSpec:
		names[spec.Name.Name] = true
		var members *ast.FieldList
		switch kind := spec.Type.(type) {
		case *ast.InterfaceType:
			members = kind.Methods
		case *ast.StructType:
			members = kind.Fields
		default:
			return
		}
		for _, member := range members.List {
			for _, name := range member.Names {
				names[spec.Name.Name+"."+name.Name] = true
			}
		}
	}
}

// TestDocs_Targets fails when a document tells to make something that the Makefile does not make.
func TestDocs_Targets(t *testing.T) {
	makefile := document(t, "Makefile")
	for _, name := range documents {
		for _, span := range slices.Concat(quoted.FindAllString(document(t, name), -1), fence.FindAllString(document(t, name), -1)) {
			for _, match := range target.FindAllStringSubmatch(span, -1) {
				if !strings.Contains(makefile, "\n"+match[1]+":") {
					t.Errorf("%s says \"make %s\", which the Makefile does not have", name, match[1])
				}
			}
		}
	}
}

// TestDocs_Diagrams fails when a state diagram of ARCHITECTURE.md and the table in rollout differ.
func TestDocs_Diagrams(t *testing.T) {
	compareDiagram(t, "generation", edges(rollout.GenerationMoves))
	compareDiagram(t, "promotion", edges(rollout.PromotionMoves))
}

func edges[S ~string](moves map[S][]S) map[string]bool {
	all := make(map[string]bool)
	for from, tos := range moves {
		for _, to := range tos {
			all[fmt.Sprintf("%s --> %s", from, to)] = true
		}
	}
	return all
}

var edge = regexp.MustCompile(`(?m)^\s*(\w+) --> (\w+)`)

// compareDiagram reads the mermaid block whose first line is the comment "%% noun".
func compareDiagram(t *testing.T, noun string, table map[string]bool) {
	t.Helper()
	block := regexp.MustCompile("(?s)```mermaid\nstateDiagram-v2\n\\s*%% " + noun + "\n(.*?)```").FindStringSubmatch(document(t, "ARCHITECTURE.md"))
	if block == nil {
		t.Fatalf("ARCHITECTURE.md has no state diagram marked %%%% %s", noun)
	}
	drawn := make(map[string]bool)
	for _, match := range edge.FindAllStringSubmatch(block[1], -1) {
		drawn[match[1]+" --> "+match[2]] = true
	}
	for _, move := range slices.Sorted(maps.Keys(table)) {
		if !drawn[move] {
			t.Errorf("the %s diagram lacks %s", noun, move)
		}
	}
	for _, move := range slices.Sorted(maps.Keys(drawn)) {
		if !table[move] {
			t.Errorf("the %s diagram has %s, which the table has not", noun, move)
		}
	}
}
