package store_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var statement = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s`)

// Every statement of this package, with the constants it is put together from, is one that the schema knows.
func TestSQL_Prepares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.raw()
	statements := sqlOf(t)
	for where, sql := range statements {
		if _, err := conn.Prepare(t.Context(), "", sql); err != nil {
			t.Errorf("%s: %v\n%s", where, err, sql)
		}
	}
	if len(statements) < 50 {
		t.Errorf("only %d statements were found", len(statements))
	}
}

// sqlOf finds the statements by where they stand.
func sqlOf(t *testing.T) map[string]string {
	t.Helper()
	names := must(filepath.Glob("*.go"))
	files := token.NewFileSet()
	var parsed []*ast.File
	consts := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file := must(parser.ParseFile(files, name, nil, 0))
		parsed = append(parsed, file)
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				if text, ok := textOf(spec.Values[0], consts); ok {
					consts[spec.Names[0].Name] = text
				}
			}
			return true
		})
	}
	out := map[string]string{}
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := textOf(e, consts)
			if !ok || !statement.MatchString(text) {
				return true
			}
			out[fmt.Sprint(files.Position(n.Pos()))] = text
			return false // its parts are none by themselves
		})
	}
	return out
}

func textOf(e ast.Expr, consts map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.Ident:
		text, ok := consts[e.Name]
		return text, ok
	case *ast.BinaryExpr:
		left, okLeft := textOf(e.X, consts)
		right, okRight := textOf(e.Y, consts)
		return left + right, okLeft && okRight && e.Op == token.ADD
	}
	return "", false
}
