// Package check compares a library with itself: the catalog's records with each other, and the
// catalog with the objects that the store holds. Check finds damage, Garbage finds what a garbage
// collection would take.
//
// It reads the store through the same code as a mount, over a replica of the catalog of its own in
// a temporary directory, so it works whether the library is mounted or not, here or elsewhere, and
// sees exactly the state after one commit. Objects are listed after that commit was read, and what
// is missing is looked at again in a newer state before it is called damage.
//
// It never writes to the store or to a mount's directories, repairs nothing, and prints nothing:
// what is found is returned for somebody else to show.
package check
