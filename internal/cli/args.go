package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"grimperium/internal/batch"
	"grimperium/internal/command"
)

// operands are the molecules that stand behind the command batch or history. mage itself would take
// them for its next commands.
var operands []string

// Arguments brings the command line into the form that mage reads, before mage reads it. Flags
// become -name=value. They stand after the words of a command, but before the molecules of batch
// and history. -jobs 2, --jobs=2 and -dry-run are understood. source is the text of the magefile. A
// mistake ends the process with a suggestion; help and the version end it, too. mage itself answers
// mage -l and mage -h batch.
func Arguments(source, version string) {
	program = commandsOf(source)
	args := os.Args[1:]
	text, err := program.answer(args, version)
	if text != "" {
		if err = printData(text); err == nil {
			os.Exit(0)
		}
	}
	if err == nil {
		args, operands, err = program.arguments(args)
	}
	if err != nil {
		fmt.Fprintln(stderr, "Error:", err)
		os.Exit(exitMistake)
	}
	os.Args = append(os.Args[:1:1], args...)
}

// answer is the help or the version, if the command line asks for it, else "".
func (c commands) answer(args []string, version string) (string, error) {
	isHelp := func(word string) bool {
		return slices.Contains([]string{"help", "-h", "-help", "--help"}, word)
	}
	at := slices.IndexFunc(args, isHelp)
	switch {
	case len(args) == 0 || args[0] == "-l":
		return c.overview(), nil
	case slices.Contains([]string{"version", "-version", "--version"}, args[0]):
		return fmt.Sprintf("%s %s\n", command.Release, version), nil
	case at < 0 || at > 0 && args[at] == "help":
		return "", nil
	}
	about := args[:at]
	if at == 0 {
		about = args[1:]
	}
	if len(about) == 0 || isHelp(about[0]) {
		return c.overview(), nil
	}
	t, ok := c.find(about[0])
	if !ok {
		return "", c.unknown(about[0])
	}
	return t.help(), nil
}

// unknown is the error for a command that does not exist.
func (c commands) unknown(name string) error {
	return fmt.Errorf("%s has no command %q%s (%[1]s help lists all)", command.Name, name,
		batch.Like(name, c.names(), command.Name+" "))
}

// arguments is a command line as mage reads it, and the operands of batch or history.
func (c commands) arguments(args []string) (out, operands []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") { // mage's own
		n := 1
		switch args[0] {
		case "-v":
		case "-t":
			if len(args) < 2 {
				args = append(args, "")
			}
			if _, err := time.ParseDuration(args[1]); err != nil {
				return nil, nil, fmt.Errorf("-t %q is no time; write -t 90m", args[1])
			}
			n = 2
		default:
			name, _, _ := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
			t, _ := c.find("batch")
			if _, known := t.flag(name); !known {
				return nil, nil, fmt.Errorf("%s has no flag %s (%[1]s help lists its commands)",
					command.Name, args[0])
			}
			return nil, nil, fmt.Errorf("%s stands before the command; write it after: %s batch "+
				"%[1]s", args[0], command.Name)
		}
		out, args = append(out, args[:n]...), args[n:]
	}
	var last target
	for len(args) > 0 {
		t, ok := c.find(args[0])
		if !ok && last.name != "" && batch.Like(args[0], c.names(), "") == "" {
			return nil, nil, fmt.Errorf("%s %s: %q is one word too many, and no command; %s",
				command.Name, last.name, args[0], last.form())
		} else if !ok {
			return nil, nil, c.unknown(args[0])
		}
		last = t
		words, flags, rest, err := c.split(t, args[1:])
		if err != nil {
			return nil, nil, err
		}
		if len(words) < len(t.words) {
			return nil, nil, fmt.Errorf("%s %s: a word is missing; %s", command.Name, t.name,
				t.form())
		}
		out, args = append(out, args[0]), rest
		if t.free() {
			operands, words, flags = words, flags, words
		}
		out = slices.Concat(out, words, flags)
	}
	return out, operands, nil
}

// split parts the words of a command from its flags. rest begins with the next command.
func (c commands) split(t target, args []string) (words, flags, rest []string, err error) {
	literal, before := false, map[string]string{} // behind --; the flags by their names
	for i := 0; i < len(args); i++ {
		if args[i] == "--" && !literal {
			literal = true
			continue
		}
		text, isFlag := strings.CutPrefix(args[i], "-")
		isFlag = isFlag && !literal
		_, another := c.find(args[i])
		switch {
		case !isFlag && (t.free() && (literal || len(words) > 0 || !another) ||
			len(words) < len(t.words)):
			words = append(words, args[i])
			continue
		case !isFlag:
			return words, flags, args[i:], nil
		}
		name, value, given := strings.Cut(strings.TrimPrefix(text, "-"), "=")
		p, known := t.flag(name)
		if !known {
			return nil, nil, nil, t.unknownFlag(name)
		}
		if !given && p.kind != "bool" {
			i++
			if i == len(args) {
				return nil, nil, nil, fmt.Errorf("%s %s: -%s has no value; write %s", command.Name,
					t.name, p.name, p.form())
			}
			value, given = args[i], true
		}
		word := "-" + p.name
		if given {
			word += "=" + value
			err = p.check(value)
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s %s: %s: %w", command.Name, t.name, word, err)
		}
		if first, again := before[p.name]; again && first != word {
			return nil, nil, nil, fmt.Errorf("%s %s: %s and %s: only one of them counts; give the "+
				"flag once", command.Name, t.name, first, word)
		}
		before[p.name] = word
		flags = append(flags, word)
	}
	return words, flags, nil, nil
}

// check is an error for a value of the wrong kind for the flag.
func (p parameter) check(value string) error {
	switch p.kind {
	case "int":
		if _, err := strconv.Atoi(value); err != nil {
			return fmt.Errorf("%q is not a whole number", value)
		}
	case "bool":
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
	}
	return nil
}

// oneOf is an error for a value of a flag that is none of the words that it may be.
func oneOf(flag, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	last := len(words) - 1
	return fmt.Errorf("%s must be %s or %s, not %q%s", flag, strings.Join(words[:last], ", "),
		words[last], value, batch.Like(value, words, ""))
}

// unknownFlag is the error for a flag that the command does not have. It proposes the only flag
// that begins with the name, as -jobs for -j2, or else the most similar one.
func (t target) unknownFlag(name string) error {
	var names, longer []string
	for _, p := range t.flags {
		names = append(names, p.name)
		if strings.HasPrefix(p.name, strings.TrimRight(name, "0123456789")) {
			longer = append(longer, p.name)
		}
	}
	slices.Sort(names)
	like := batch.Like(name, names, "-")
	if len(longer) == 1 {
		like = fmt.Sprintf("; did you mean -%s?", longer[0])
	}
	return fmt.Errorf("%s %s has no flag -%s%s (%[1]s help %[2]s lists all)", command.Name, t.name,
		name, like)
}
