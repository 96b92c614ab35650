//go:build race

package engine_test

// raceEnabled tells that the race detector makes everything many times as slow.
const raceEnabled = true
