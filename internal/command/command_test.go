package command

import "testing"

func TestName(t *testing.T) {
	for path, want := range map[string]string{
		"grimperium":                         "grimperium",
		"/usr/local/bin/grimperium":          "grimperium",
		"dist/grimperium-0.1.0-darwin-arm64": "grimperium",
		"/root/.magefile/4f0c9a3e5b":         "mage",
		"./mage":                             "mage",
		"/home/u/grimperium/bin/mage":        "mage",
		"":                                   "mage",
	} {
		if got := nameOf(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}
