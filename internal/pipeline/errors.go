package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty/function"
)

// Errors are the mistakes in a pipeline.hcl, all of them.
type Errors struct {
	path  string
	files map[string]*hcl.File // by the name that diagnostics have for them
	diags hcl.Diagnostics
}

// located says whether a mistake is in a file; else all are in values of the command line.
func (e *Errors) located() bool {
	return slices.ContainsFunc(e.diags, func(d *hcl.Diagnostic) bool { return d.Subject != nil })
}

func (e *Errors) Error() string {
	if !e.located() {
		var texts []string
		for _, d := range e.diags {
			texts = append(texts, d.Detail)
		}
		return strings.Join(texts, "\n")
	}
	where, has := "the settings", "have"
	for _, d := range e.diags {
		if d.Subject != nil && !strings.HasPrefix(d.Subject.Filename, "<") && where != e.path {
			where, has = d.Subject.Filename, "has"
		}
	}
	if len(e.diags) == 1 {
		return fmt.Sprintf("%s %s a mistake: %s", where, has, e.diags[0].Summary)
	}
	return fmt.Sprintf("%s %s %d mistakes", where, has, len(e.diags))
}

// Print writes every mistake with its file, line and source; width 0 is 78 columns. If none is in a
// file, Error says all, and Print nothing.
func (e *Errors) Print(w io.Writer, width uint, colour bool) error {
	if !e.located() {
		return nil
	}
	if width == 0 {
		width = 78
	}
	return hcl.NewDiagnosticTextWriter(w, e.files, width, colour).WriteDiagnostics(e.diags)
}

// tidy sorts mistakes by place, drops repetitions, and all beyond the number that anybody reads.
func tidy(diags hcl.Diagnostics) hcl.Diagnostics {
	at := func(d *hcl.Diagnostic) (rng hcl.Range) {
		if d.Subject != nil {
			rng = *d.Subject
		}
		return rng
	}
	order := func(a, b *hcl.Diagnostic) int {
		return cmp.Or(strings.Compare(at(a).Filename, at(b).Filename),
			at(a).Start.Byte-at(b).Start.Byte, strings.Compare(a.Summary, b.Summary),
			strings.Compare(a.Detail, b.Detail))
	}
	diags = slices.DeleteFunc(diags,
		func(d *hcl.Diagnostic) bool { return d.Severity != hcl.DiagError })
	slices.SortStableFunc(diags, order)
	diags = slices.CompactFunc(diags, func(a, b *hcl.Diagnostic) bool { return order(a, b) == 0 })
	all := slices.Clone(diags)
	diags = slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool { return repeats(d, all) })
	if more := len(diags) - maxMistakes; more > 0 {
		last := wrongf(hcl.Range{}, "Too many mistakes", "There are %d more.", more)
		last.Subject = nil
		diags = append(diags[:maxMistakes:maxMistakes], last)
	}
	return diags
}

// repeats reports whether HCL says of a part of a name, or of a function, what is known already.
// Only HCL's own mistakes have the expression.
func repeats(d *hcl.Diagnostic, all hcl.Diagnostics) bool {
	return d.Expression != nil && slices.ContainsFunc(all, func(o *hcl.Diagnostic) bool {
		return o.Expression == nil && o.Subject != nil &&
			o.Subject.Filename == d.Subject.Filename &&
			o.Subject.Start.Byte <= d.Subject.Start.Byte && d.Subject.End.Byte <= o.Subject.End.Byte
	})
}

func wrongf(rng hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary,
		Detail: fmt.Sprintf(format, args...), Subject: &rng}
}

// wrong notes a mistake of the file, and is false.
func (p *Pipeline) wrong(rng hcl.Range, summary, format string, args ...any) bool {
	return p.add(hcl.Diagnostics{wrongf(rng, summary, format, args...)})
}

// wrongOption notes a mistake that is not in the file, and is false.
func (p *Pipeline) wrongOption(summary, format string, args ...any) bool {
	p.wrong(hcl.Range{}, summary, format, args...)
	p.mistakes[len(p.mistakes)-1].Subject = nil
	return false
}

// refuse notes what an error says of a place, and reports whether there is none.
func (p *Pipeline) refuse(rng hcl.Range, summary string, err error) bool {
	diags, ok := errors.AsType[hcl.Diagnostics](err)
	if err != nil && !ok {
		return p.wrong(rng, summary, "%s", sentence(err.Error()))
	}
	return p.add(diags)
}

// add notes mistakes, and reports whether there are none.
func (p *Pipeline) add(diags hcl.Diagnostics) bool {
	p.mistakes = append(p.mistakes, diags...)
	return !diags.HasErrors()
}

// sentence makes an error's text one of the sentences of a mistake's detail. It leaves names of
// attributes and files as they are written.
func sentence(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if slices.Contains([]string{"a", "the", "this", "every", "word", "one"}, first) {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return stopped(text)
}

// stopped is a text that ends as a sentence does.
func stopped(text string) string {
	if strings.HasSuffix(text, "?") {
		return text
	}
	return strings.TrimSuffix(text, ".") + "."
}

// nullArgument is what go-cty says of an argument without a value.
const nullArgument = "argument must not be null"

// emptyHint says where a value that is missing comes from.
const emptyHint = "an empty cell, or a stage that is turned off"

// soften says a function's error in the function's own words, and what else HCL says in the user's.
func soften(diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		if words, ok := ourWords[d.Summary]; ok {
			d.Summary = words
		}
		if strings.HasSuffix(d.Detail, ": argument must not be null.") &&
			d.Summary == "Operation failed" {
			d.Summary, d.Detail = "Missing value",
				"One side of this operation has no value (null): "+emptyHint+"."
		}
		call, ok := d.Extra.(hclsyntax.FunctionCallDiagExtra)
		if !ok {
			continue
		}
		name, err := call.CalledFunctionName(), call.FunctionCallError()
		if err == nil {
			d.Detail = strings.Replace(d.Detail, "Invalid value", name+": invalid value", 1)
			continue
		}
		text := callText(err)
		d.Summary = "Error in function call"
		d.Detail = sentence(text)
		switch name {
		case equalName, "contains":
			if strings.Contains(text, " never equals ") {
				d.Summary = "Values of two types compared"
			}
		case operandName:
			d.Summary = "Missing value"
		case divisorName:
			d.Summary = "Division by zero"
		case listName, textName:
		default:
			d.Detail = name + ": " + stopped(text)
		}
	}
	return diags
}

// callText is what a function's error says, with the number of the argument that it is about.
func callText(err error) string {
	if panicked := (function.PanicError{}); errors.As(err, &panicked) {
		return "it can't handle these arguments"
	}
	text, arg := err.Error(), function.ArgError{}
	switch {
	case !errors.As(err, &arg) || strings.HasPrefix(text, "the number"):
		return text
	case text == nullArgument:
		return fmt.Sprintf("argument %d has no value (null): %s", arg.Index+1, emptyHint)
	case verb.MatchString(text):
		return fmt.Sprintf("argument %d %s", arg.Index+1, text)
	}
	return fmt.Sprintf("argument %d: %s", arg.Index+1, text)
}

// verb begins what go-cty says of an argument.
var verb = regexp.MustCompile(`^(must|has|can|cannot) `)

// ourWords are our words for some of HCL's.
var ourWords = map[string]string{
	"Unsupported argument":       "Unknown attribute",
	"Unsupported block type":     "Unknown block",
	"Unsupported attribute":      "Unknown attribute",
	"Attribute redefined":        "Duplicate attribute",
	"Missing required argument":  "Missing attribute",
	"Variables not allowed":      "Not a constant",
	"Function calls not allowed": "Not a constant",
}

// plain turns diagnostics that a molecule's values caused into one error. The error of a function
// keeps its words. Every other error has its place in the file.
func (p *Pipeline) plain(diags hcl.Diagnostics) error {
	for _, d := range soften(diags) {
		if d.Severity != hcl.DiagError {
			continue
		}
		if call, ok := d.Extra.(hclsyntax.FunctionCallDiagExtra); ok {
			var own *callError
			if errors.As(call.FunctionCallError(), &own) {
				return own.error
			}
		}
		text := strings.TrimSuffix(d.Summary, ".") + ": " + strings.TrimSuffix(d.Detail, ".")
		text = strings.Join(strings.Fields(text), " ")
		if d.Subject == nil {
			return errors.New(text)
		}
		return &EvalError{d.Subject.Filename, d.Subject.Start.Line, errors.New(text)}
	}
	return nil
}

// EvalError is a mistake in an expression that a molecule's values brought to light. What a
// function says of a program's output is none.
type EvalError struct {
	Path string
	Line int
	Err  error
}

func (e *EvalError) Error() string { return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err) }
func (e *EvalError) Unwrap() error { return e.Err }

func (p *Pipeline) at(e hcl.Expression, err error) error {
	return &EvalError{p.Path, e.Range().Start.Line, err}
}
