package local

// References counts the droppings that the kernel knows or that are open.
func (l *Library) References() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.nodes)
}

// SetEndPlaces makes a folder's list with room for few names.
func (l *Library) SetEndPlaces(folder uint64, end uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lists[folder] = newList(end)
	l.setHas(folder, true)
}

// Claimants counts who has the claim on a folder, or waits for it.
func (l *Library) Claimants(folder uint64) int {
	l.claims.mu.Lock()
	defer l.claims.mu.Unlock()
	if c := l.claims.held[folder]; c != nil {
		return c.users
	}
	return 0
}
