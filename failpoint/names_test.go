package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNames_ListsEveryConstant fails when a constant was added to names.go and forgotten in the list below it.
func TestNames_ListsEveryConstant(t *testing.T) {
	constants := nameConstants(t)
	listed := Names()
	for constant, name := range constants {
		if !slices.Contains(listed, name) {
			t.Errorf("%s (%q) is not in Names()", constant, name)
		}
	}
	if len(listed) != len(constants) {
		t.Errorf("Names() has %d entries for %d constants", len(listed), len(constants))
	}
}

// TestNames_EachIsHit fails when a failpoint can be armed and no code ever asks for it: a proof that arms it would
// prove nothing.
func TestNames_EachIsHit(t *testing.T) {
	used := usedNames(t, "..")
	for constant, name := range nameConstants(t) {
		if !used[constant] {
			t.Errorf("failpoint.%s (%q) is hit nowhere outside tests", constant, name)
		}
	}
}

// nameConstants reads the constants of type Name out of names.go.
func nameConstants(t *testing.T) map[string]Name {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := make(map[string]Name)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Name" {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is not a string literal", spec.Names[0].Name)
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		constants[spec.Names[0].Name] = Name(value)
		return true
	})
	if len(constants) == 0 {
		t.Fatal("no constants found in names.go")
	}
	return constants
}

// usedNames collects every X of "failpoint.X" in the module's code, tests and this package left out.
func usedNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	used := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && path != root
			if hidden || path == filepath.Join(root, "failpoint") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "failpoint" {
					used[selector.Sel.Name] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}
