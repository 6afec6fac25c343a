"""License Information: what was bought, by whom, until when, and how much of it is in use."""

from projections.license_information.information import LicenseInformation, LicenseQuery
from projections.license_information.view import LicenseInformationView

__all__ = ["LicenseInformation", "LicenseInformationView", "LicenseQuery"]
