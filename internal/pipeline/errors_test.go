package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// testColumns are the columns of the table that every test's pipeline is checked against.
var testColumns = []Column{{"mol_id", false}, {"smiles", false}, {"status", false},
	{"charge", true},
	{"multiplicity", true}, {"nheavy", true}, {"H298_cbs", true}, {"nrotbonds", true},
	{"delta_1", true}, {"delta_2", true}, {"delta_3", true}, {"mopac_time", true}}

func testOptions() Options {
	return Options{
		Functions: testFunctions, Builtins: testBuiltins,
		Inputs: []string{"mol_id", "smiles", "charge", "H298_cbs"}, Written: []string{"status"},
		Columns: func(string) ([]Column, error) { return testColumns, nil },
	}
}

// marker is a comment such as "# ERROR: Summary: part of the detail". It is about its own line, or
// about another line if it has that line's number. 0 is no line.
var (
	marker = regexp.MustCompile(`# ERROR( \d+)?: ([^:]+): (.*?)\s*(?:$|# ERROR)`)
	option = regexp.MustCompile(`(?m)^# -(set|varFile): (.*)$`)
)

type mistake struct {
	line            int
	summary, detail string
}

func (m mistake) String() string { return fmt.Sprintf("%d: %s: %s", m.line, m.summary, m.detail) }

func marked(src string) (out []mistake) {
	for i, line := range strings.Split(src, "\n") {
		for rest := line; ; {
			at := marker.FindStringSubmatchIndex(rest)
			if at == nil {
				break
			}
			m := mistake{i + 1, rest[at[4]:at[5]], rest[at[6]:at[7]]}
			if at[2] >= 0 {
				m.line, _ = strconv.Atoi(strings.TrimSpace(rest[at[2]:at[3]]))
			}
			out = append(out, m)
			rest = rest[at[7]:]
		}
	}
	slices.SortStableFunc(out, func(a, b mistake) int { return a.line - b.line })
	return out
}

func found(t *testing.T, err error) (out []mistake) {
	t.Helper()
	var e *Errors
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want the mistakes of a file", err)
	}
	for _, d := range e.diags {
		m := mistake{0, d.Summary, d.Detail}
		if d.Subject != nil {
			m.line = d.Subject.Start.Line
		}
		out = append(out, m)
	}
	return out
}

// goText is what only a Go programmer understands.
var goText = regexp.MustCompile(
	`<nil>|goroutine|runtime error|panic|%!|cty\.|hcl\.|0x[0-9a-f]+|unexpected type|\bEOF\b`)

func TestErrors(t *testing.T) {
	files, err := filepath.Glob("../../testdata/pipelines/errors/*.hcl")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := testOptions()
			for _, m := range option.FindAllStringSubmatch(string(src), -1) {
				if m[1] == "set" {
					o.Set = m[2]
				} else {
					o.VarFile = m[2]
				}
			}
			_, err = Load(file, o)
			got, want := found(t, err), marked(string(src))
			compare(t, got, want)
			var text strings.Builder
			if err := err.(*Errors).Print(&text, 0, false); err != nil {
				t.Error(err)
			}
			if bad := goText.FindString(text.String()); bad != "" {
				t.Errorf("%q is printed:\n%s", bad, text.String())
			}
		})
	}
}

// compare checks that each mistake is found once, with none beside them, in the order of lines.
func compare(t *testing.T, got, want []mistake) {
	t.Helper()
	if !slices.IsSortedFunc(got, func(a, b mistake) int { return a.line - b.line }) {
		t.Error("not sorted by line")
	}
	left := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(left, func(g mistake) bool {
			return g.line == w.line && g.summary == w.summary &&
				strings.Contains(g.detail, w.detail)
		})
		if i < 0 {
			t.Errorf("missing: %s", w)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, g := range left {
		t.Errorf("not expected: %s", g)
	}
	for _, g := range got {
		if n := len(strings.Fields(g.summary)); n > 6 {
			t.Errorf("%q has %d words", g.summary, n)
		}
		if !strings.HasSuffix(g.detail, ".") && !strings.HasSuffix(g.detail, "?") &&
			!strings.HasSuffix(g.detail, "}.") {
			t.Errorf("no sentence: %s", g)
		}
	}
}

func TestEmptyFile(t *testing.T) {
	for _, src := range []string{"", "\n", "\ufeff", "pipeline {}\n"} {
		_, err := load(t, src, testOptions())
		compare(t, found(t, err), []mistake{{1, "Pipeline without stages", "A stage is a block"}})
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.hcl")
	if err := os.WriteFile(big, make([]byte, maxPipelineSize+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.hcl"): "none.hcl: file does not exist (run this in the folder " +
			"of pipeline.hcl, or name another with -pipeline=FILE)",
		dir: "is not a file",
		big: "is larger than 262144 bytes",
	} {
		if _, err := Load(path, testOptions()); err == nil ||
			!strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

// load writes a pipeline into a folder of its own and reads it.
func load(t testing.TB, src string, o Options) (*Pipeline, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipeline.hcl")
	if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(path, o)
}

// mustLoad is load for a pipeline without mistakes.
func mustLoad(t testing.TB, src string, o Options) *Pipeline {
	t.Helper()
	p, err := load(t, src, o)
	var e *Errors
	if errors.As(err, &e) {
		var text strings.Builder
		if err := e.Print(&text, 0, false); err != nil {
			t.Error(err)
		}
		t.Fatalf("%.2000s", text.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}
