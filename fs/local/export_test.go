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
