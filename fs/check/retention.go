package check

import "time"

// The default retention of versions: all of the last hour, the newest of each hour for a day, the newest of each day for 30 days, at
// most 50. Hours and days are those of UTC, not lengths of time before now: so what is kept today because it is the newest of its hour
// is not dropped tomorrow for being the second of another.
const (
	keepAll    = time.Hour
	keepHourly = 24 * time.Hour
	keepDaily  = 30 * 24 * time.Hour
	keepMost   = 50
)

// retain tells which versions of a media are kept; times are when each stopped being the head, in the order of their numbers. A version
// from the future (another machine's clock) is kept.
func retain(times []time.Time, now time.Time) []bool {
	keep := make([]bool, len(times))
	kept := 0
	hours, days := make(map[int64]bool), make(map[int64]bool)
	for i := len(times) - 1; i >= 0 && kept < keepMost; i-- {
		age := now.Sub(times[i])
		hour, day := times[i].Unix()/3600, times[i].Unix()/86400
		switch {
		case age <= keepAll:
			keep[i] = true
		case age <= keepHourly:
			keep[i] = !hours[hour]
		case age <= keepDaily:
			keep[i] = !days[day]
		}
		if keep[i] {
			kept++
			hours[hour], days[day] = true, true
		}
	}
	return keep
}
