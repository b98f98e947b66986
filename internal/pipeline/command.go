package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// shellWord is a word that only a shell understands: a redirection, an operator, a variable, a
// command in it, the home folder.
var shellWord = regexp.MustCompile("^([0-9&]?>>?(&[0-9]|\\s*[\\w./-]*)|<\\s*[\\w./-]*|" +
	"[|&;]{1,2}(\\s*[\\w./-]+.*)?|\\S*;|~\\w*(/\\S*)?|\\$[A-Za-z_{(]\\S*|" +
	"\\S*(=\\$[A-Za-z_{]|\\$\\{|\\$\\()\\S*|\\S*`\\S+`)$")

// optionValue is a word that only a shell understands, unless it is the value of an option.
var optionValue = regexp.MustCompile(`^([|;]|<[\w./-]+|\S+;)$`)

// scripted are programs whose words may be scripts.
var scripted = []string{"sh", "bash", "dash", "ksh", "zsh", "awk", "gawk", "mawk", "perl", "sed"}

// globWord is a word that a shell would replace by the names of files.
var globWord = regexp.MustCompile(`^[\w./-]*/\*$|^[\w./-]*([*?]|\[\w+\]|\{[\w,]+\})[\w*?-]*\.\w+$`)

// setProgram finds the program of a command. It must be known before any molecule is. A word that
// only a shell, or the folder of pipeline.hcl, would give a meaning is an error.
func (p *Pipeline) setProgram(s *Stage, command cty.Value) error {
	if !command.IsKnown() || command.LengthInt() == 0 {
		return p.setFirst(s)
	}
	words := command.AsValueSlice()
	for i, w := range words {
		var err error
		switch word, ok := as[string](w); {
		case w.IsKnown() && w.IsNull() && !s.off:
			err = errors.New("has no value: it names a stage that is turned off, or an empty " +
				"variable")
		case ok && i > 0:
			before, _ := as[string](words[i-1])
			err = p.checkWord(s, before, word)
		case i == 0:
			if err := p.addProgram(s, word); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("word %d of the command %w", i+1, err)
		}
	}
	if s.Builtin {
		return wrongWords(p.builtins[s.Program], words)
	}
	return nil
}

func (p *Pipeline) addProgram(s *Stage, word string) error {
	if err := checkProgram(word); err != nil {
		return err
	}
	s.Program = word
	if _, s.Builtin = p.builtins[word]; !s.Builtin && !slices.Contains(s.Programs, word) {
		s.Programs = append([]string{word}, s.Programs...)
	}
	return nil
}

// setFirst finds the program of a command whose number of words is not known before a molecule is.
// It checks the words that are written out.
func (p *Pipeline) setFirst(s *Stage) (err error) {
	program, _ := as[string](p.firstWord(s.command, s.command.Expression))
	if err := p.addProgram(s, program); err != nil {
		return err
	}
	for _, list := range written(s.command.Expression) {
		before := ""
		for _, x := range list.Exprs {
			v := p.part(s.command, x)
			word, known := as[string](v)
			if known && word != program && err == nil {
				err = p.checkWord(s, before, word)
				p.watchTexts(s, v)
			}
			before = word
		}
	}
	if err != nil {
		return fmt.Errorf("a word of the command %w", err)
	}
	return nil
}

// firstWord is the first word of a list, by its value or its syntax. It is unknown if the list may
// begin with another.
func (p *Pipeline) firstWord(e *expression, of hcl.Expression) cty.Value {
	v := p.part(e, of)
	for isList(v.Type()) && v.IsKnown() && !v.IsNull() && v.LengthInt() > 0 {
		v = v.AsValueSlice()[0]
	}
	if v.IsKnown() {
		return v
	}
	lists := sources(of) // that all must begin with the word
	switch x := of.(type) {
	case *hclsyntax.TupleConsExpr:
		lists = x.Exprs[:min(1, len(x.Exprs))]
	case *hclsyntax.FunctionCallExpr:
		if x.Name != "step" {
			lists = lists[:min(1, len(lists))]
		}
	}
	for i, list := range lists {
		if w := p.firstWord(e, list); i == 0 {
			v = w
		} else if !w.RawEquals(v) {
			return cty.DynamicVal
		}
	}
	return v
}

// sources are the lists that a list of words is made of.
func sources(of hcl.Expression) []hclsyntax.Expression {
	switch x := of.(type) {
	case *hclsyntax.ParenthesesExpr:
		return []hclsyntax.Expression{x.Expression}
	case *hclsyntax.ConditionalExpr:
		return []hclsyntax.Expression{x.TrueResult, x.FalseResult}
	case *hclsyntax.FunctionCallExpr:
		if slices.Contains([]string{"concat", "flatten", "compact"}, x.Name) {
			return x.Args
		}
		if x.Name == "step" && len(x.Args) > 0 {
			if lists, ok := x.Args[0].(*hclsyntax.TupleConsExpr); ok {
				return lists.Exprs
			}
		}
	}
	return nil
}

// written are the lists of words that are written out in a list of words.
func written(of hcl.Expression) (lists []*hclsyntax.TupleConsExpr) {
	from := sources(of)
	if list, ok := of.(*hclsyntax.TupleConsExpr); ok {
		lists, from = append(lists, list), list.Exprs
	}
	for _, x := range from {
		lists = append(lists, written(x)...)
	}
	return lists
}

// part is a part of an expression of a stage, as far as it is known before any molecule.
func (p *Pipeline) part(e *expression, of hcl.Expression) cty.Value {
	v, _ := p.typed.evaluate(&expression{Expression: of, locals: e.locals}, map[string]cty.Value{
		"attempt": cty.DynamicVal, "salvaged": cty.DynamicVal, "each": cty.DynamicVal})
	return v
}

// wrongWords says what is wrong with the known words of a built-in command: an error that is the
// same, whatever the unknown words are.
func wrongWords(check func([]string) error, command []cty.Value) error {
	with := func(unknown string) error {
		var words []string
		for _, w := range command[1:] {
			word, ok := as[string](w)
			if !ok {
				word = unknown
			}
			words = append(words, unmarked(word))
		}
		return check(words)
	}
	err, other := with("1"), with("2")
	if err == nil || other == nil || err.Error() != other.Error() {
		return nil
	}
	return err
}

// checkProgram says what is wrong with the first word of a command.
func checkProgram(word string) error {
	const first = "the first word of the command, the program, "
	relative := !filepath.IsAbs(word)
	switch {
	case word == "":
		return errors.New(first + "must be a text that doesn't depend on the molecule, as in " +
			`["xtb", ...] or concat(["xtb"], ...)`)
	case strings.Contains(word, ignoreOpen):
		return errors.New(first + "is never left out of the fingerprint")
	case relative && strings.ContainsAny(word, "= \t;|<>&$"):
		return fmt.Errorf("the first word of the command is %q, but a program is needed: each "+
			"word is an element of its own, and variables stand in env = { NAME = \"...\" }", word)
	case relative && strings.Contains(word, "/"):
		return fmt.Errorf(first+"is a relative path, %[1]s: give its absolute path. For a script: "+
			"file %[2]q { source = %[1]q }, and an interpreter and %[2]q in the command", word,
			filepath.Base(word))
	}
	return nil
}

// pathWord is a word that is meant as a file: a path, or the name of a script.
var pathWord = regexp.MustCompile(`^\S*/\S+$|^\S+\.(py|sh|pl|jl|[Rr]|awk|tcl)$`)

// checkWord says what is wrong with a word that a shell would read, or that names a user's file. An
// absolute path is watched; a relative one would be looked for in the scratch folder. The word
// before it may be an option, as -d before ";", and what find runs ends with {} and ";".
func (p *Pipeline) checkWord(s *Stage, before, word string) error {
	option := ""
	name, value, ok := strings.Cut(word, "=")
	if ok && strings.HasPrefix(name, "-") {
		option = name + "=" // of --script=stages/x.py
	}
	free := option != "" || before == "{}" || len(before) > 1 && before[0] == '-'
	if shellWord.MatchString(word) && !(free && optionValue.MatchString(word)) &&
		!slices.Contains(scripted, filepath.Base(s.Program)) {
		return fmt.Errorf("is %s, but no shell reads the command. What the program prints is the "+
			"file stdout: outputs = { log = \"stdout\" }. With a shell: [\"sh\", \"-c\", \"...\"]",
			word)
	}
	if option != "" {
		word = value
	}
	if !free && globWord.MatchString(word) {
		return fmt.Errorf("is %s, but no shell puts names in the place of a pattern: name the "+
			"files themselves", word)
	}
	info, err := os.Stat(p.rooted(word))
	if err != nil || !info.Mode().IsRegular() || slices.Contains(s.FileNames(), word) ||
		!pathWord.MatchString(word) {
		return nil
	}
	if !filepath.IsAbs(word) {
		return fmt.Errorf("is %[1]s, a file beside pipeline.hcl, which is not in the folder where "+
			"the program runs: file %[2]q { source = %[1]q }, and %[3]q in the command", word,
			filepath.Base(word), option+filepath.Base(word))
	}
	p.watchFile(s, word)
	return nil
}

// watchFile has a stage depend on a user's file that its command names.
func (p *Pipeline) watchFile(s *Stage, path string) {
	known := func(in Input) bool { return in.Path == path }
	if slices.ContainsFunc(s.watched, known) {
		return
	}
	if p.files[path] == "" {
		sum, err := hashOfEnds(path)
		if err != nil {
			return
		}
		p.files[path] = sum
	}
	s.watched = append(s.watched, Input{Name: path, Path: path, SHA256: p.files[path]})
}

// hashOfEnds hashes a file. Of one with more than maxFileSize its size, its beginning and its end
// count: a command may name a database.
func hashOfEnds(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if size := info.Size(); size > maxFileSize {
		const half = maxFileSize / 2
		fmt.Fprintf(h, "%d bytes", size)
		_, err = io.Copy(h, io.MultiReader(io.NewSectionReader(f, 0, half),
			io.NewSectionReader(f, size-half, half)))
	} else {
		_, err = io.Copy(h, f)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// absPath is an absolute path, wherever it stands in a word.
var absPath = regexp.MustCompile(`/[^\s"'=:,;|&<>()]+`)

// isScript reports whether a path is that of a file that can be run, by its mode or its name.
func isScript(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() &&
		(info.Mode()&0o111 != 0 || pathWord.MatchString(filepath.Base(path)))
}

// watchScripts watches the scripts that a command or an environment names at any attempt.
func (p *Pipeline) watchScripts(s *Stage, m *Molecule, e *expression, extra map[string]cty.Value) {
	names := func(t hcl.Traversal) bool { return t.RootName() == "attempt" }
	attempts := 1
	if slices.ContainsFunc(e.Variables(), names) {
		attempts = max(1, min(p.MaxReruns, maxWatched))
	}
	for attempt := range attempts {
		scope := maps.Clone(extra)
		scope["attempt"], scope["salvaged"] = cty.NumberIntVal(int64(attempt)),
			cty.ListValEmpty(cty.String)
		v, diags := m.evaluate(e, scope)
		if diags.HasErrors() {
			return // has been noted
		}
		p.watchTexts(s, v)
	}
}

// watchTexts watches the scripts that the texts of a value name.
func (p *Pipeline) watchTexts(s *Stage, v cty.Value) {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if text, ok := as[string](v); ok {
			for _, path := range absPath.FindAllString(text, -1) {
				if isScript(path) && !slices.Contains(s.Programs, path) { // its version counts
					p.watchFile(s, path)
				}
			}
		}
		return true, nil
	})
}
