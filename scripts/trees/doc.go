// Package trees tests scripts/hostile-tree and scripts/compare-trees: that the one makes all that
// it promises, and that the other sees every kind of difference. The tests of whole copies rest on
// these two. It holds no code of its own, and no other package imports it.
package trees
