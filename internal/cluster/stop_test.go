package cluster

import (
	"os"
	"strings"
	"testing"

	"grimperium/internal/store"
)

// mage stop has the tasks finish what is under way; the next batch goes on at once.
func TestStop(t *testing.T) {
	p := newProject(t, 24, "sleep 0.5")
	first := p.start(Follow, wall)
	p.begun(5)
	check(t, os.WriteFile(p.path("artefacts/"+store.StopName), nil, 0o644))
	if out, failed := p.wait(first); failed {
		t.Error(out)
	}
	if n := len(p.runs()); n == 24 {
		t.Error("the tasks were not stopped")
	}
	p.finish(p.start(Follow, wall))
	p.twice(0)
}

// mage stop without a batch that watches: the last job of -detach merges what is finished, and
// submits nothing, also where it finds other programs. The next batch goes on.
func TestStopDetached(t *testing.T) {
	p := newProject(t, 24, "sleep 0.5")
	text, err := os.ReadFile(p.path("prog"))
	check(t, err)
	other := strings.Replace(string(text), "echo prog 1",
		"test $"+LastJob+" && echo prog 2 || echo prog 1", 1)
	check(t, os.WriteFile(p.path("prog"), []byte(other), 0o755))
	if out, failed := p.wait(p.start(Detach, wall)); failed {
		t.Fatal(out)
	}
	p.begun(5)
	check(t, os.WriteFile(p.path("artefacts/"+store.StopName), nil, 0o644))
	p.until("the last job has ended", func() bool {
		_, err := os.Stat(p.path("artefacts/" + store.StopName))
		return err != nil
	})
	merged, begun := 0, len(p.runs())
	for _, cells := range p.rows() {
		if cells["status"] == "OK" {
			merged++
		}
	}
	if merged != begun || begun == 24 {
		t.Errorf("%d rows were merged of %d molecules that were begun", merged, begun)
	}
	p.finish(p.start(Follow, wall))
	p.twice(0)
}
