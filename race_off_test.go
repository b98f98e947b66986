//go:build !race

package grimperium_test

const raceEnabled = false
