package core

var SetDefault = setDefault

// CheckTenantSource checks a source of a tenant whose document is in tenantsSource.
func CheckTenantSource(tenantsSource, source string) error {
	b := builder{cfg: Config{TenantsSource: tenantsSource}}
	return b.checkTenantSource(source)
}

// SetCommit sets the commit, as the Makefile does with -ldflags.
func SetCommit(hash string) { commit = hash }
