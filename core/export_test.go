package core

var SetDefault = setDefault
