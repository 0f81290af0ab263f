package storagetest_test

import (
	"testing"

	"github.com/writ-authz/writ/storage/storagetest"
)

func TestModelConforms(t *testing.T) {
	storagetest.Run(t, storagetest.Model)
}

func TestSideBySideOfTheModelWithItself(t *testing.T) {
	storagetest.SideBySide(t, storagetest.Model, storagetest.Model)
}
