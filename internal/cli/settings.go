package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"grimperium/internal/batch"
	"grimperium/internal/pipeline"
)

// Settings prints every setting with its value and where that comes from.
func Settings(o Options) error { return ended(settings(os.Stdout, o)) }

func settings(out io.Writer, o Options) error {
	p, err := load(o)
	if err != nil {
		return err
	}
	logs, logsSource, err := home()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, value any, source string) {
		fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, source)
	}
	line := func(n int) string { return fmt.Sprintf("%s line %d", p.Path, n) }
	given := func(name string, value any, flag string) { // flag is "" if it is not given
		if n, ok := p.Given[name]; ok && flag == "" {
			flag = line(n)
		}
		row(name, value, cmp.Or(flag, "default"))
	}
	flag := func(name string, is bool) string { return map[bool]string{true: name}[is] }
	row("SETTING", "VALUE", "FROM")
	given("pipeline", p.Path, flag("-pipeline", o.Pipeline != ""))
	given("table", batch.ShownPath(p.Table), flag("-table", o.Table != ""))
	given("artefacts", batch.ShownPath(p.Artefacts), flag("-artefacts", o.Artefacts != ""))
	given("max_reruns", p.MaxReruns, flag("-maxReruns", o.MaxReruns != nil))
	given("jobs", p.Jobs, flag("-jobs", o.Jobs != nil))
	given("order", map[bool]string{true: "smallest_first", false: "table"}[p.SmallestFirst], "")
	given("max_failures", percent(p.Alarms.Failures), "")
	given("max_invalid", percent(p.Alarms.Invalid), "")
	given("when_exceeded", map[bool]string{true: "stop", false: "warn"}[p.Alarms.Stop], "")
	row("logs", logs, logsSource)
	for _, v := range p.Variables {
		source := v.Source
		if strings.HasPrefix(source, pipeline.EnvPrefix) {
			source = "environment " + source
		}
		row("var."+v.Name, v.Text(), source)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Programs)) {
		program := p.Programs[name]
		row("program."+name, strings.Join(program.Candidates, ", "), line(program.Line))
	}
	return w.Flush()
}

func percent(share float64) string {
	if share == 0 {
		return "none"
	}
	return fmt.Sprintf("%g%%", 100*share)
}
