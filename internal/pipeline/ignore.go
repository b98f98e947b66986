package pipeline

import (
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

const (
	ignoreName        = "ignore_changes"
	ignoreDescription = "A value that a program gets and that changes no result, such as a number of threads: in a command, env or a file's content it is left out of what makes a target stale."
	ignoreExample     = `["crest", "-T", ignore_changes(var.threads)]`

	// ignored stands for such a value in a fingerprint.
	ignored = "(any)"
	// Such a text is marked at both ends. No word and no variable of the environment may have a NUL
	// character.
	ignoreOpen, ignoreClose = "\x00\x01", "\x00\x02"
)

var ignoreFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.StringVal(ignoreOpen + unmarked(args[0].AsString()) + ignoreClose), nil
	},
})

// unmarked is a text as the program gets it.
func unmarked(text string) string {
	if !strings.Contains(text, ignoreOpen) {
		return text
	}
	return strings.NewReplacer(ignoreOpen, "", ignoreClose, "").Replace(text)
}

// hashed is a text as the fingerprint has it.
func hashed(text string) string {
	for {
		before, rest, found := strings.Cut(text, ignoreOpen)
		_, after, closed := strings.Cut(rest, ignoreClose)
		if !found || !closed {
			return text
		}
		text = before + ignored + after
	}
}
