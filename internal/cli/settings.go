package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"grimperium/internal/pipeline"
)

// Settings prints every setting with its value and where that comes from.
func Settings(o Options) error { return ended(settings(os.Stdout, o)) }

func settings(out io.Writer, o Options) error {
	p, err := load(o)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, value any, source string) { fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, source) }
	row("SETTING", "VALUE", "FROM")
	path, source := p.Path, "default"
	if o.Pipeline != "" {
		source = "-pipeline"
	}
	row("pipeline", path, source)
	block := func(name, flag string) string {
		if flag != "" {
			return flag
		}
		if line, ok := p.Given[name]; ok {
			return fmt.Sprintf("%s line %d", p.Path, line)
		}
		return "default"
	}
	row("table", shownPath(p.Table), block("table", flagged("-table", o.Table != "")))
	artefacts := p.Artefacts
	if o.Artefacts != "" {
		artefacts = o.Artefacts
	}
	row("artefacts", shownPath(artefacts), block("artefacts", flagged("-artefacts", o.Artefacts != "")))
	row("max_reruns", p.MaxReruns, block("max_reruns", flagged("-maxReruns", o.MaxReruns != nil)))
	row("jobs", p.Jobs, block("jobs", flagged("-jobs", o.Jobs != nil)))
	row("order", map[bool]string{true: "smallest_first", false: "table"}[p.SmallestFirst], block("order", ""))
	row("max_failures", percent(p.Alarms.Failures), block("max_failures", ""))
	row("max_invalid", percent(p.Alarms.Invalid), block("max_invalid", ""))
	row("when_exceeded", map[bool]string{true: "stop", false: "warn"}[p.Alarms.Stop], block("when_exceeded", ""))
	dir, source, err := home()
	if err != nil {
		return err
	}
	row("logs", dir, source)
	for _, v := range p.Variables {
		source := v.Source
		if strings.HasPrefix(source, pipeline.EnvPrefix) {
			source = "environment " + source
		}
		row("var."+v.Name, v.Value, source)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Programs)) {
		prog := p.Programs[name]
		row("program."+name, strings.Join(prog.Candidates, ", "), fmt.Sprintf("%s line %d", p.Path, prog.Line))
	}
	return w.Flush()
}

func flagged(name string, given bool) string {
	if given {
		return name
	}
	return ""
}

func percent(share float64) string {
	if share == 0 {
		return "none"
	}
	return fmt.Sprintf("%g%%", 100*share)
}
