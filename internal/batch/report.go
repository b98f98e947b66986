package batch

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"grimperium/csvmerge"
	"grimperium/internal/journal"
	"grimperium/internal/pipeline"
	"grimperium/internal/store"
)

// Summary is what a batch did.
type Summary struct {
	Total, Scheduled, Fresh, Skipped, Invalid int
	Counts                                    map[string]int // molecules of this batch by the status that they have now
	Targets                                   map[string]int // "stage outcome" to how many
	Failures                                  []Failure
	Elapsed                                   time.Duration
	Interrupted                               bool
	Stopped                                   bool               // by Config.FailFast
	Batch                                     string             // the batch's id, "" when it had nothing to do and wrote nothing
	Finished                                  int                // molecules of which something ran
	Seconds                                   map[string]float64 // wall time by stage
	Findings                                  []csvmerge.Finding // of the rows that are left out
	warned                                    map[string]*Warning
	Alarms                                    []string // shares that passed what pipeline.hcl allows, and what else a person should look at
}

// Failure is a molecule that failed in this batch.
type Failure struct{ Molecule, Target, Message string }

// Print writes the summary for a person, with the alarms last.
func (s *Summary) Print(w io.Writer, stages []*pipeline.Stage) {
	s.print(w, stages)
	for _, text := range s.Alarms {
		fmt.Fprintf(w, "\nALARM: %s.\n", text)
	}
}

func (s *Summary) print(w io.Writer, stages []*pipeline.Stage) {
	if len(s.Targets) == 0 && len(s.Failures) == 0 && !s.Interrupted {
		fmt.Fprintf(w, "Everything is up to date: %s.\n", s.standing())
		return
	}
	fmt.Fprintf(w, "%s in %s: %s\n", count(s.Scheduled, "molecule"), round(s.Elapsed), s.outcomes())
	for _, st := range stages {
		var parts []string
		for _, o := range []string{"ok", Read, "restored", "failed", "timeout", "interrupted"} {
			if n := s.Targets[st.Name+" "+o]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, o))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(w, "  %-10s %s\n", st.Name, strings.Join(parts, ", "))
		}
	}
	if stage, share := s.slowest(); stage != "" {
		fmt.Fprintf(w, "  slowest stage: %s, %.0f %% of the time\n", stage, 100*share)
	}
	for _, g := range s.Groups() { // a cause of ten thousand failures is said once
		if g.Count > 1 {
			fmt.Fprintf(w, "  failed: %s\n", g)
		}
		for _, message := range g.First {
			fmt.Fprintf(w, "  %s\n", message)
		}
		if more := g.Count - len(g.First); more > 0 {
			fmt.Fprintf(w, "  ... and %d more like these\n", more)
		}
	}
	for _, line := range s.warningLines() {
		fmt.Fprintf(w, "  warning: %s\n", line)
	}
	if s.Stopped {
		fmt.Fprintln(w, "Stopped at the first failure, as -failFast says; the next batch goes on from here.")
	}
	if s.Interrupted {
		fmt.Fprintln(w, "Interrupted; the next batch goes on from here.")
	}
}

// standing says where the table's molecules stand when there was nothing to do.
func (s *Summary) standing() string {
	text := count(s.Total, "molecule")
	if s.Skipped > 0 {
		text += fmt.Sprintf(", %d of them skipped after too many failures", s.Skipped)
	}
	if s.Invalid > 0 {
		text += ", " + count(s.Invalid, "row") + " left out"
	}
	return text
}

func (s *Summary) outcomes() string {
	var parts []string
	for _, status := range []string{"OK", "Rerun", "Skip"} {
		if n := s.Counts[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if s.Invalid > 0 {
		parts = append(parts, count(s.Invalid, "row")+" left out")
	}
	if n := s.Total - s.Scheduled; n > 0 {
		parts = append(parts, fmt.Sprintf("%d others up to date or not asked for", n))
	}
	if len(parts) == 0 {
		return "none finished"
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func round(d time.Duration) time.Duration {
	switch {
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond)
	case d < 10*time.Minute:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// planned is a target that has something to do.
type planned struct {
	stage, name, reason string
	runs                bool // a program
}

// plan predicts what a visit would do: up to the first stale target for certain, behind it what may follow.
func (b *Batch) plan(i int) ([]planned, error) {
	if b.recall(i) != nil {
		return nil, nil
	}
	v, err := b.visit(i)
	if err != nil {
		return nil, err
	}
	var out []planned
	stale := map[string]string{}
	for _, s := range b.Pipeline.Stages {
		if on, err := v.m.Enabled(s); err == nil && !on {
			continue
		}
		if up := slices.IndexFunc(s.DependsOn, func(d string) bool { return stale[d] != "" }); up >= 0 {
			stale[s.Name] = s.DependsOn[up]
			out = append(out, planned{s.Name, s.Name, v.behind(s, s.DependsOn[up]), s.Program != ""})
			continue
		}
		n, err := v.m.Instances(s)
		if err != nil {
			return out, err
		}
		results := make([]pipeline.Result, n)
		verdicts, errs := b.judgeAll(v, s, n)
		for k, d := range verdicts {
			if errs[k] != nil {
				return out, errs[k]
			}
			name := s.Instance(k)
			results[k] = b.result(v, s, k, v.man.Targets[name])
			switch d.action {
			case skip:
				return out, nil
			case fresh:
			case leave:
				results[k].Status = pipeline.StatusLeftOut
			default:
				stale[s.Name] = name
				out = append(out, planned{s.Name, name, verbs[d.action] + d.reason, d.action == run && s.Program != ""})
			}
		}
		if stale[s.Name] == "" {
			v.m.Set(s, results)
		}
	}
	return out, nil
}

var verbs = map[action]string{run: "", read: "values are read again: ", restore: "an earlier result comes back: "}

// DryRun prints what Run would do, and does nothing.
func (b *Batch) DryRun(w io.Writer) error {
	todo, perhaps, err := b.schedule()
	if err != nil {
		return err
	}
	todo = append(todo, b.stale(perhaps)...)
	if err := b.needed(todo); err != nil {
		return err
	}
	counts := map[string]int{}
	molecules := 0
	forecast := journal.OpenAtEnd(b.Store.Path(store.JournalName)).Past(pastBytes)
	var expected time.Duration
	unknown := map[string]bool{}
	for _, id := range todo {
		i, _ := b.Table.Lookup(id)
		plan, err := b.plan(i)
		if err != nil {
			plan = append(plan, planned{reason: err.Error()})
		}
		if len(plan) == 0 {
			continue
		}
		if b.Limit > 0 && molecules == b.Limit {
			break
		}
		molecules++
		fmt.Fprintln(w, id)
		for _, t := range plan {
			fmt.Fprintf(w, "  %-10s %s\n", t.name, t.reason)
			counts[t.stage]++
			if d := forecast.Target(t.stage, b.sizes[id]); d > 0 && t.runs {
				expected += d
			} else if t.runs {
				unknown[t.stage] = true
			}
		}
	}
	if molecules == 0 {
		fmt.Fprintf(w, "Everything is up to date: nothing would run.\n")
		return nil
	}
	var parts []string
	for _, s := range b.Pipeline.Stages {
		if n := counts[s.Name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s.Name, n))
		}
	}
	fmt.Fprintf(w, "%s would be visited; targets: %s\n", count(molecules, "molecule"), strings.Join(parts, ", "))
	if expected > 0 {
		fmt.Fprintf(w, "Expected time: about %s, by what such targets took before\n", round(expected/time.Duration(b.jobs())))
	}
	if len(unknown) > 0 {
		fmt.Fprintf(w, "Nothing is known yet of how long these take: %s\n", strings.Join(sortedNames(unknown), ", "))
	}
	return nil
}
