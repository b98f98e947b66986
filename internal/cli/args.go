package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"

	"grimperium/internal/batch"
)

// target is a command as the magefile declares it.
type target struct {
	name  string
	words int             // parameters that are no flags
	flags map[string]flag // by their names in small letters, without hyphens
}

// free says whether molecules may stand behind the command, as many as there are.
func (t target) free() bool { return t.name == "batch" || t.name == "history" }

type flag struct {
	name    string
	noValue bool // takes no value
}

// behind are the molecules behind the command batch or history, which mage itself would take for its
// next commands.
var behind []string

// Arguments brings the command line into the form that mage reads, before mage reads it: flags as
// -name=value, behind the words of a command, but before the molecules of batch and history.
// -jobs 2, --jobs=2 and -dry-run are understood. source is the text of the magefile. A command or
// flag that it has not ends the process with a suggestion; -version ends it with the version.
func Arguments(source, version string) {
	if slices.Equal(os.Args[1:], []string{"-version"}) ||
		slices.Equal(os.Args[1:], []string{"--version"}) {
		fmt.Println("grimperium", version)
		os.Exit(0)
	}
	args, molecules, err := arguments(os.Args[1:], source)
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(2)
	}
	os.Args, behind = append(os.Args[:1:1], args...), molecules
}

func arguments(args []string, source string) (out, behind []string, err error) {
	targets, err := targetsOf(source)
	if err != nil {
		return nil, nil, err
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") { // mage's own
		n := 1
		if args[0] == "-t" {
			n = min(2, len(args))
		}
		out, args = append(out, args[:n]...), args[n:]
	}
	for len(args) > 0 {
		t, ok := targets[strings.ToLower(args[0])]
		if !ok {
			return nil, nil, fmt.Errorf("mage has no command %q%s (mage -l lists all)", args[0],
				batch.Like(args[0], slices.Sorted(maps.Keys(targets)), "mage "))
		}
		if slices.ContainsFunc(args[1:], func(a string) bool {
			return slices.Contains([]string{"-h", "-help", "--help"}, a)
		}) {
			return []string{"-h", args[0]}, nil, nil
		}
		words, flags, rest, err := t.split(args[1:], targets)
		if err != nil {
			return nil, nil, err
		}
		out, args = append(out, args[0]), rest
		if t.free() {
			behind, words, flags = words, flags, words
		}
		out = slices.Concat(out, words, flags)
	}
	return out, behind, nil
}

// split parts the words of a command from its flags. rest begins with the next command.
func (t target) split(args []string, targets map[string]target) (words, flags, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		text, isFlag := strings.CutPrefix(args[i], "-")
		_, command := targets[strings.ToLower(args[i])]
		switch {
		case !isFlag && (t.free() && (len(words) > 0 || !command) || len(words) < t.words):
			words = append(words, args[i])
			continue
		case !isFlag:
			return words, flags, args[i:], nil
		}
		text = strings.TrimPrefix(text, "-")
		name, value, given := strings.Cut(text, "=")
		f, known := t.flags[strings.ToLower(strings.ReplaceAll(name, "-", ""))]
		switch {
		case !known:
			var names []string
			for _, f := range t.flags {
				names = append(names, f.name)
			}
			slices.Sort(names)
			return nil, nil, nil, fmt.Errorf("mage %s has no flag -%s%s (mage -h %[1]s lists all)", t.name,
				name, batch.Like(name, names, "-"))
		case !given && !f.noValue && i+1 < len(args):
			i++
			value, given = args[i], true
		case !given && !f.noValue:
			return nil, nil, nil, fmt.Errorf("mage %s: -%s has no value; write -%[2]s=VALUE", t.name, f.name)
		}
		word := "-" + f.name
		if given {
			word += "=" + value
		}
		flags = append(flags, word)
	}
	return words, flags, nil, nil
}

// targetsOf reads the commands of a magefile: its exported functions. A flag is a parameter that is
// a pointer.
func targetsOf(source string) (map[string]target, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "magefile.go", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	targets := map[string]target{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() || f.Recv != nil {
			continue
		}
		t := target{name: strings.ToLower(f.Name.Name), flags: map[string]flag{}}
		for _, field := range f.Type.Params.List {
			pointer, isFlag := field.Type.(*ast.StarExpr)
			ident, isWord := field.Type.(*ast.Ident)
			for _, name := range field.Names {
				switch {
				case isFlag:
					to, _ := pointer.X.(*ast.Ident)
					t.flags[strings.ToLower(name.Name)] = flag{name.Name, to != nil && to.Name == "bool"}
				case isWord && ident.Name == "string":
					t.words++
				}
			}
		}
		targets[t.name] = t
	}
	return targets, nil
}
