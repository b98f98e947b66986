package runner

import (
	"bufio"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

// init turns this process into a guard if startGuard has asked for one. It has to be an init function: mage writes
// the main function, and there is no other place in front of it that is ours.
func init() {
	if batch := os.Getenv(guardName); batch != "" {
		signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
		watch(os.Stdin, batch)
		os.Exit(0)
	}
}

// watch keeps the list of running groups until the batch is gone, then kills what is left of it.
func watch(r io.Reader, batch string) {
	for pgid := range readGroups(r) {
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
	}
	killMarked(markName + "=" + batch + ".")
}

// readGroups reads lines "+123" and "-123" to the end, and returns the groups that were added and not taken away.
func readGroups(r io.Reader) map[int]bool {
	groups := map[int]bool{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if len(line) < 2 {
			continue
		}
		// 0 and 1 have a meaning of their own to kill(2): our own group, and everyone.
		pgid, err := strconv.Atoi(line[1:])
		if err != nil || pgid <= 1 {
			continue
		}
		switch line[0] {
		case '+':
			groups[pgid] = true
		case '-':
			delete(groups, pgid)
		}
	}
	return groups
}
