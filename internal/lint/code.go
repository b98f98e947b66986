package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// The limits of a function.
const (
	mostLines      = 60
	mostParameters = 5
)

// checkGo checks the lines, comments, messages and functions of a Go file. A string that can't be
// broken may be as wide as it is: a raw one, and one with a URL.
func checkGo(name, text string) []finding {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []finding{{name, 1, err.Error()}}
	} else if ast.IsGenerated(f) {
		return nil
	}
	line := func(p token.Pos) int { return files.Position(p).Line }
	var found []finding
	free := map[int]bool{} // lines that may be wide
	isTest := strings.HasSuffix(name, "_test.go")
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if strings.Contains(n.Value, " ") {
				found = append(found, bannedWords(name, line(n.Pos()), n.Value)...)
			}
			for l := line(n.Pos()); l <= line(n.End()); l++ {
				free[l] = free[l] || n.Value[0] == '`' || strings.Contains(n.Value, "://") ||
					isTest && len(n.Value) > textColumns // as a program prints it
			}
		case *ast.FuncDecl:
			found = append(found, checkFunc(name, line, n)...)
		}
		return true
	})
	lines := strings.Split(text, "\n")
	prose := make([]string, len(lines))
	for i, l := range lines {
		if !free[i+1] {
			found = append(found, tooWide(name, i+1, l, codeColumns)...)
		}
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			for i, l := range strings.Split(c.Text, "\n") {
				at := line(c.Pos()) - 1 + i
				text, ok := strings.CutPrefix(l, "// ")
				switch {
				case !ok || strings.HasPrefix(text, " "): // a directive, or code
				case !strings.HasPrefix(strings.TrimSpace(lines[at]), "//"):
					prose[at] = "- " + text + "."
				default:
					prose[at] = text
				}
			}
		}
	}
	return append(found, checkProse(name, prose)...)
}

// checkFunc checks the size of a function. Commands of the magefile have a parameter for each flag.
// The lines of a list or a map, such as the cases of a test, are data and don't count.
func checkFunc(name string, line func(token.Pos) int, f *ast.FuncDecl) (found []finding) {
	n := line(f.End()) - line(f.Pos()) + 1
	ast.Inspect(f, func(in ast.Node) bool {
		list, ok := in.(*ast.CompositeLit)
		if ok {
			n -= line(list.End()) - line(list.Pos())
		}
		return !ok
	})
	if n > mostLines {
		found = append(found, finding{name, line(f.Pos()),
			fmt.Sprintf("%s has %d lines, more than %d: split it", f.Name, n, mostLines)})
	}
	if n := f.Type.Params.NumFields(); n > mostParameters && name != "magefile.go" {
		found = append(found, finding{name, line(f.Pos()), fmt.Sprintf("%s has %d parameters, "+
			"more than %d: make a type of them", f.Name, n, mostParameters)})
	}
	return found
}
