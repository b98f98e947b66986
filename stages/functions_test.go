package stages

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// kindFits says whether an expression of pipeline.hcl can hold a Go type.
func kindFits(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Float64:
		return true
	case reflect.Slice, reflect.Pointer:
		return kindFits(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("cty") == "" || !kindFits(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}

func TestFunctionsCanBeCalledFromExpressions(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Functions() {
		if seen[f.Name] || f.Description == "" || !strings.Contains(f.Example, f.Name+"(") ||
			f.Version < 1 {
			t.Errorf("%s: a name of its own, a description, an example that calls it and a "+
				"version are wanted", f.Name)
		}
		seen[f.Name] = true
		fn := reflect.TypeOf(f.Fn)
		if len(f.Params) != fn.NumIn() || len(f.Description) > 110 {
			t.Errorf("%s: %d names of %d parameters; the description has at most 100 columns",
				f.Name, len(f.Params), fn.NumIn())
		}
		for i := range fn.NumIn() {
			if !kindFits(fn.In(i)) {
				t.Errorf("%s: parameter %d is a %s", f.Name, i+1, fn.In(i))
			}
		}
		if !kindFits(fn.Out(0)) || fn.NumOut() > 2 || fn.NumOut() == 2 &&
			fn.Out(1) != reflect.TypeFor[error]() {
			t.Errorf("%s: results of %s", f.Name, fn)
		}
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantError checks an error for a path in front and for every one of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q lacks %q", err, word)
		}
	}
}

// value is what a pointer points to, "nil" for nothing.
func value(p *float64) any {
	if p == nil {
		return "nil"
	}
	return *p
}
