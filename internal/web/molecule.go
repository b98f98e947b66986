package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrNoMolecule says that the table has no molecule of a name.
var ErrNoMolecule = errors.New("the table has no such molecule")

// Detail is a molecule with its targets.
type Detail struct {
	ID      string            `json:"mol_id"`
	Cells   map[string]string `json:"cells"`           // of the table
	Units   map[string]string `json:"units,omitempty"` // of cells and values, by their names
	Targets []TargetDetail    `json:"targets"`
	Why     string            `json:"why"` // lines: which targets are up to date, and why not
	// Geometries are those of the conformers, if the results are up to date.
	Geometries []Geometry `json:"geometries,omitempty"`
}

// TargetDetail is the newest record of a target, or what is known of one that runs.
type TargetDetail struct {
	Name     string            `json:"target"`
	Outcome  string            `json:"outcome"`
	Error    string            `json:"error,omitempty"`
	Started  time.Time         `json:"started,omitzero"`
	Seconds  float64           `json:"seconds"`
	CPU      float64           `json:"cpu_seconds"`
	Command  string            `json:"command,omitempty"`
	Programs map[string]string `json:"programs,omitempty"`
	Values   map[string]any    `json:"values,omitempty"`
	Files    map[string]string `json:"files,omitempty"` // by output, below the artefacts
	Log      string            `json:"log,omitempty"`   // the end of what a failed attempt left, or of what runs
}

// molecule answers with the page of a molecule.
func (l *Live) molecule(w http.ResponseWriter, r *http.Request) {
	d, ok := l.find(w, r)
	if !ok {
		return
	}
	t, err := template.New("molecule.html").Funcs(template.FuncMap{"seconds": seconds,
		"quantity": quantity, "path": escaped}).ParseFS(files, "live/molecule.html")
	var b bytes.Buffer
	if err == nil {
		err = t.Execute(&b, d)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w)
}

// quantity is a value of a target for a person: a text as it is, else JSON, with its unit.
func quantity(value any, unit string) string {
	switch v := value.(type) {
	case nil:
		return "–"
	case string:
		return strings.TrimSpace(v + " " + unit)
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // the template does
	if err := enc.Encode(value); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(strings.TrimSpace(text.String()) + " " + unit)
}

// escaped is a path for a URL.
func escaped(file string) string { return (&url.URL{Path: file}).EscapedPath() }

// find returns the molecule of a request, or answers that there is none.
func (l *Live) find(w http.ResponseWriter, r *http.Request) (*Detail, bool) {
	d, err := l.Detail(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, ErrNoMolecule):
		http.Error(w, "The table has no such molecule.", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
	return d, err == nil
}

func (l *Live) detail(w http.ResponseWriter, r *http.Request) {
	if d, ok := l.find(w, r); ok {
		answer(w, d)
	}
}
