package cli

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"

	"grimperium/internal/command"
)

// commands is the table of the commands, as the magefile declares them. Help, man page, completion
// and the reading of the command line are made from it.
type commands struct {
	about string // what the program is, one sentence
	all   []target
}

// program has the commands of this program; Arguments fills it.
var program commands

// target is a command.
type target struct {
	name, group string
	synopsis    string // begins with a verb, and has no full stop
	doc         string // the other paragraphs of its comment
	words       []parameter
	flags       []parameter
}

// parameter is a word or a flag of a command.
type parameter struct {
	name, doc string
	kind      string // bool, int or string
}

// groups are the headings under which the commands are listed.
var groups = [][2]string{{"run", "The batch"}, {"table", "The table"}, {"pipeline", "The pipeline"},
	{"project", "The program itself"}}

// free says whether molecules may stand behind the command, as many as there are.
func (t target) free() bool { return t.name == "batch" || t.name == "history" }

func (c commands) find(name string) (target, bool) {
	i := slices.IndexFunc(c.all, func(t target) bool { return strings.EqualFold(t.name, name) })
	if i < 0 {
		return target{}, false
	}
	return c.all[i], true
}

// names are those of the commands, sorted.
func (c commands) names() (names []string) {
	for _, t := range c.all {
		names = append(names, t.name)
	}
	return names
}

// flag returns the flag of a name, in any letter case and with hyphens between its words.
func (t target) flag(name string) (parameter, bool) {
	name = strings.ReplaceAll(name, "-", "")
	same := func(p parameter) bool { return strings.EqualFold(p.name, name) }
	i := slices.IndexFunc(t.flags, same)
	if i < 0 {
		return parameter{}, false
	}
	return t.flags[i], true
}

// usage is the form of the command line, without the program's name.
func (t target) usage() string {
	usage := t.name
	for _, w := range t.words {
		usage += " " + strings.ToUpper(w.name)
	}
	if t.free() {
		usage += " [MOL_ID ...]"
	}
	if len(t.flags) > 0 {
		usage += " [FLAGS]"
	}
	return usage
}

// form is the way out for a command line with too few or too many words.
func (t target) form() string {
	form := fmt.Sprintf("write %s %s", command.Name, t.usage())
	for _, w := range t.words {
		if w.doc != "" {
			form += fmt.Sprintf("; %s is %s", strings.ToUpper(w.name), w.doc)
		}
	}
	return form
}

// start is what a flag begins with: -jobs=, or -dryRun, which takes no value.
func (p parameter) start() string {
	if p.kind == "bool" {
		return "-" + p.name
	}
	return "-" + p.name + "="
}

// form is a flag as it is written: -jobs=N.
func (p parameter) form() string {
	return p.start() + map[string]string{"int": "N", "string": "VALUE"}[p.kind]
}

// commandsOf reads the commands of a magefile: its exported functions. A flag is a parameter that
// is a pointer. The comment of a command begins with its name and its group in brackets.
func commandsOf(source string) (c commands) {
	files := token.NewFileSet()
	file, _ := parser.ParseFile(files, "magefile.go", source, // which the compiler has read, too
		parser.SkipObjectResolution|parser.ParseComments)
	c.about, _, _ = strings.Cut(file.Doc.Text(), ".")
	remarks := map[int]string{} // the last comment of each line
	for _, group := range file.Comments {
		remarks[files.Position(group.Pos()).Line] = strings.TrimSpace(group.Text())
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !f.Name.IsExported() || f.Recv != nil {
			continue
		}
		t := target{name: strings.ToLower(f.Name.Name)}
		head, doc, _ := strings.Cut(f.Doc.Text(), "\n")
		_, head, _ = strings.Cut(head, "[")
		t.group, t.synopsis, _ = strings.Cut(strings.TrimSuffix(head, "."), "] ")
		t.doc = strings.TrimSpace(doc)
		for _, field := range f.Type.Params.List {
			t.add(field, remarks[files.Position(field.End()).Line], c)
		}
		c.all = append(c.all, t)
	}
	slices.SortFunc(c.all, func(a, b target) int { return strings.Compare(a.name, b.name) })
	return c
}

// add takes in parameters of the function; a context is none of the command. "as for batch" stands
// for what the flag of batch says, which is an earlier command.
func (t *target) add(field *ast.Field, doc string, earlier commands) {
	into, typ := &t.words, field.Type
	if pointer, ok := typ.(*ast.StarExpr); ok {
		into, typ = &t.flags, pointer.X
	}
	ident, ok := typ.(*ast.Ident)
	if !ok {
		return
	}
	batch, _ := earlier.find("batch")
	rest, same := strings.CutPrefix(doc, "as for batch")
	for _, name := range field.Names {
		p := parameter{name.Name, doc, ident.Name}
		if same {
			flag, _ := batch.flag(p.name)
			p.doc = flag.doc + rest
		}
		*into = append(*into, p)
	}
}

const helpWidth = 79 // columns

// plain formats a text for a terminal, each line behind an indentation.
func plain(text, indent string) string {
	printer := comment.Printer{TextPrefix: indent, TextCodePrefix: indent + "    ",
		TextWidth: helpWidth - len(indent)}
	return string(printer.Text(parseComment(text, command.Name)))
}

var mage = regexp.MustCompile(`\b(_?)mage\b`)

// parseComment reads a comment of the magefile for a program of this name.
func parseComment(text, name string) *comment.Doc {
	return new(comment.Parser).Parse(mage.ReplaceAllString(text, "${1}"+name))
}

// overview lists all commands.
func (c commands) overview() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\nUsage: %s COMMAND [WORDS] [FLAGS]\n", c.about, command.Name)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n%s\n", group[1])
		for _, t := range c.all {
			if t.group == group[0] {
				fmt.Fprintf(&b, "  %-11s %s\n", t.name, t.synopsis)
			}
		}
	}
	fmt.Fprintf(&b, "\n%s help batch describes a command. Begin with %[1]s batch.\n", command.Name)
	return b.String()
}

// help describes a command.
func (t target) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%[1]s %s %s.\n\nUsage: %[1]s %[4]s\n\n%[5]s", command.Name, t.name,
		t.synopsis, t.usage(), plain(t.doc, ""))
	if len(t.flags) == 0 {
		return b.String()
	}
	width := 0
	for _, p := range t.flags {
		width = max(width, len(p.form())+4)
	}
	b.WriteString("\nFlags:\n")
	for _, p := range t.flags {
		lines := plain(p.doc, strings.Repeat(" ", width))
		fmt.Fprintf(&b, "  %-*s%s", width-2, p.form(), strings.TrimLeft(lines, " "))
	}
	return b.String()
}
