package cli

import (
	"fmt"
	"go/doc/comment"
	"regexp"
	"strings"

	"grimperium/internal/command"
)

// Man prints the man page of the program, in the language of man(7).
func Man(version string) error {
	return ended(printData(program.man(command.Name, version)))
}

// Completion prints a script with which a shell completes the commands and flags of the program.
func Completion(shell string) error {
	if err := oneOf("the shell", shell, shells...); err != nil {
		return ended(err)
	}
	return ended(printData(program.completion(shell, command.Name)))
}

// shells are those for which there is a completion.
var shells = []string{"bash", "fish", "zsh"}

// completion is the script of a shell for a program of this name.
func (c commands) completion(shell, name string) string {
	script := map[string]func(string) string{"bash": c.bash, "fish": c.fish, "zsh": c.zsh}
	return script[shell](name)
}

func (c commands) bash(name string) string {
	var flags strings.Builder
	for _, t := range c.all {
		var forms []string
		for _, p := range t.flags {
			forms = append(forms, p.start())
		}
		fmt.Fprintf(&flags, "    %s) words='%s' ;;\n", t.name, strings.Join(forms, " "))
	}
	return fmt.Sprintf(`_%[1]s() {
  local word=${COMP_WORDS[COMP_CWORD]} words=
  if ((COMP_CWORD == 1)); then
    words='%[2]s help'
  elif [[ $word == -* ]]; then
    case ${COMP_WORDS[1]} in
%[3]s    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word")) # none: names of files
  [[ ${#COMPREPLY[@]} != 1 || $COMPREPLY != *= ]] || compopt -o nospace
}
complete -o default -F _%[1]s %[1]s
`, name, strings.Join(c.names(), " "), flags.String())
}

func (c commands) fish(name string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, t := range c.all {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -f -a %s -d '%s'\n", name, t.name,
			quoted.Replace(t.synopsis))
		for _, p := range t.flags {
			value := " -r"
			if p.kind == "bool" {
				value = ""
			}
			fmt.Fprintf(&b, "complete -c %s -n '__fish_seen_subcommand_from %s' -o %s%s -d '%s'\n",
				name, t.name, p.name, value, quoted.Replace(p.doc))
		}
	}
	return b.String()
}

func (c commands) zsh(name string) string {
	quoted := strings.NewReplacer(`'`, `'\''`, `[`, `\[`, `]`, `\]`, `:`, `\:`, `\`, `\\`)
	var list, flags strings.Builder
	for _, t := range c.all {
		fmt.Fprintf(&list, "      '%s:%s'\n", t.name, quoted.Replace(t.synopsis))
		fmt.Fprintf(&flags, "  %s) _arguments", t.name)
		for _, p := range t.flags {
			value := ""
			if p.kind != "bool" {
				value = ":value:_files"
			}
			fmt.Fprintf(&flags, " \\\n    '%s[%s]%s'", p.start(), quoted.Replace(p.doc), value)
		}
		flags.WriteString(" \\\n    '*:file:_files' ;;\n")
	}
	return fmt.Sprintf(`#compdef %[1]s
compdef _%[1]s %[1]s
_%[1]s() {
  if ((CURRENT == 2)); then
    local -a commands=(
%[2]s    )
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  case $words[1] in
%[3]s  esac
}
if [[ $funcstack[1] == _%[1]s ]]; then _%[1]s "$@"; fi
`, name, list.String(), flags.String())
}

var request = regexp.MustCompile(`(?m)^[.']`) // for man, at the start of a line

// roff writes a text so that man shows each character as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimSpace(text))
	return request.ReplaceAllString(text, `\&$0`)
}

// paragraphs are those of a comment, with its examples as they stand.
func paragraphs(b *strings.Builder, doc, name string) {
	for _, block := range parseComment(doc, name).Content {
		if code, ok := block.(*comment.Code); ok {
			fmt.Fprintf(b, ".PP\n.nf\n.RS\n%s\n.RE\n.fi\n", roff(code.Text))
			continue
		}
		text := new(comment.Printer).Text(&comment.Doc{Content: []comment.Block{block}})
		fmt.Fprintf(b, ".PP\n%s\n", roff(string(text)))
	}
}

// man is the man page of a program of this name. Without a date two builds give the same bytes.
func (c commands) man(name, version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"grimperium %s\"\n.SH NAME\n%s \\- %s\n", strings.ToUpper(name),
		version, name, roff(c.about))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIWORDS\\fR] [\\fIFLAGS\\fR]\n", name)
	for _, group := range groups {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(group[1]))
		for _, t := range c.all {
			if t.group != group[0] {
				continue
			}
			fmt.Fprintf(&b, ".SS %s %s\n%s.\n", name, roff(t.usage()), roff(t.synopsis))
			paragraphs(&b, t.doc, name)
			for _, p := range t.flags {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(p.form()), roff(p.doc))
			}
		}
	}
	return b.String()
}
