"""Settings for Django's own test suite: libpq's environment says which server.

The runner writes one line per test to $RECORD, as pytest_record.py does for suites that use pytest.
"""

import os
import unittest

from django.test.runner import DiscoverRunner

from pytest_record import write


def database(name):
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"],
        "NAME": name,
    }


DATABASES = {"default": database("django"), "other": database("django_other")}
SECRET_KEY = "not a secret"
USE_TZ = False
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEST_RUNNER = "django_settings.Runner"

# Django knows indexes without USING by the name of their access method, btree. INTROSPECTION=1 tells
# it the name of fakegres's, as an application's own database backend can.
if "INTROSPECTION" in os.environ and "fakegres" in os.environ["RECORD"].rpartition("/")[2]:
    from django.db.backends.postgresql.introspection import DatabaseIntrospection

    DatabaseIntrospection.index_default_access_method = "fakegres_index"


class Result(unittest.TextTestResult):
    """A test with subtests is as bad as its worst subtest."""

    def record(self, outcome, test, error=None):
        text = "" if error is None else f"{error[0].__name__}: {error[1]}"
        write(outcome, test.id(), text)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.record("passed", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.record("failed", test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.record("failed", test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        write("skipped", test.id(), reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.record("xfailed", test, err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.record("xpassed", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.record("failed", test, err)


class Runner(DiscoverRunner):
    def get_resultclass(self):
        return Result
