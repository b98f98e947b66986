package tables

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"grimperium/csvmerge"
)

// TestManyRows claims and merges 100,000 rows of each kind. They must say the same then.
func TestManyRows(t *testing.T) {
	const rows, group = 100_000, 10_000
	var given, want strings.Builder
	given.WriteString(head)
	want.WriteString(head)
	for n := range rows {
		fmt.Fprintf(&given, "m%d,,C,0,\"a, b\",-17.50,,\n", n)
		fmt.Fprintf(&want, "m%d,OK,C,0,\"a, b\",-17.50,%d,b1\n", n, n%7)
	}
	for kind := range kinds {
		place := made(t, kind, given.String())
		table := opened(t, place, true)
		for from := 0; from < rows; from += group {
			var ids []string
			var changes []csvmerge.Change
			for n := from; n < from+group; n++ {
				ids = append(ids, fmt.Sprint("m", n))
				changes = append(changes, csvmerge.Change{ID: ids[n-from],
					Cells: map[string]string{"status": "OK", "reruns": fmt.Sprint(n % 7),
						"batch_id": "b1"}})
			}
			ours, _, err := table.Claim(group, ids)
			if err != nil || !slices.Equal(ours, ids) {
				t.Fatalf("%s: claimed %d rows from %d on, %v", kind, len(ours), from, err)
			}
			if changed, err := table.Merge(changes); err != nil || len(changed) != group {
				t.Fatalf("%s: merged %d rows from %d on, %v", kind, len(changed), from, err)
			}
		}
		if stored(t, place) != want.String() || content(t, table.Rows()) != want.String() {
			t.Errorf("%s: the rows are others", kind)
		}
	}
}
