//! The hours of the day in which pages are deleted.

use std::fmt;

use k8s_openapi::jiff::civil::Time;
use k8s_openapi::jiff::tz::TimeZone;
use k8s_openapi::jiff::{Timestamp, ToSpan as _};

/// A part of each day, by the clocks of one time zone. It may pass midnight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    text: String,
    from: Time,
    /// Exclusive. `None`: midnight at the end of the day.
    to: Option<Time>,
    zone: TimeZone,
    zone_name: String,
}

/// Why hours cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// They are not two times of the day.
    #[error("must be two times of day, such as `22:00-06:00`, not `{0}`")]
    Form(String),
    /// They end when they begin.
    #[error("never come: `{0}` ends when it begins; for the whole day, omit the field")]
    Never(String),
    /// There is no such time zone.
    #[error("must be a time zone of the IANA database, such as `Europe/Berlin`, not `{0}`")]
    Zone(String),
}

impl Hours {
    /// Reads `22:00-06:00`. `24:00` is the end of the day.
    ///
    /// # Errors
    /// Fails if the text is not of that form, if the hours never come, and if there is no such time zone.
    pub fn parse(text: &str, zone_name: &str) -> Result<Self, HoursError> {
        let form = || HoursError::Form(text.to_owned());
        let (from, to) = text.split_once('-').ok_or_else(form)?;
        let (from, to) = (from.trim(), to.trim());
        let from = time(from).ok_or_else(form)?;
        let to = if to == "24:00" { None } else { Some(time(to).ok_or_else(form)?) };
        if to == Some(from) {
            return Err(HoursError::Never(text.to_owned()));
        }
        let zone = TimeZone::get(zone_name).map_err(|_| HoursError::Zone(zone_name.to_owned()))?;
        Ok(Self { text: text.to_owned(), from, to, zone, zone_name: zone_name.to_owned() })
    }

    /// When the hours begin. `None` if it is one of them now.
    #[must_use]
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let here = self.zone.to_datetime(now);
        let time = here.time();
        let open = match self.to {
            None => self.from <= time,
            Some(to) if self.from < to => self.from <= time && time < to,
            Some(to) => self.from <= time || time < to,
        };
        if open {
            return None;
        }
        let today = here.date();
        // If it is not one of the hours, it is before they begin today, or after they ended today.
        let day = if time < self.from { today } else { today.checked_add(1.day()).unwrap_or(today) };
        // If the clocks skip that time on that day, they show a later one then. If they show it twice, the first may be over.
        let opens = self.zone.to_ambiguous_timestamp(day.to_datetime(self.from));
        let (first, second) = (opens.compatible().ok(), opens.later().ok());
        Some([first, second].into_iter().flatten().find(|opens| *opens > now).unwrap_or(now + 1.minute()))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.zone_name)
    }
}

/// `HH:MM`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(hours: &str, zone: &str, now: &str) -> String {
        let hours = Hours::parse(hours, zone).expect("hours");
        let now: Timestamp = now.parse().expect("a time");
        hours.opens(now).map_or_else(|| "open".to_owned(), |opens| opens.to_string())
    }

    #[test]
    fn hours_of_the_day() {
        for (hours, zone, now, expected) in [
            ("22:00-06:00", "UTC", "2026-11-28T21:59:59Z", "2026-11-28T22:00:00Z"),
            ("22:00-06:00", "UTC", "2026-11-28T22:00:00Z", "open"),
            ("22:00-06:00", "UTC", "2026-11-28T05:59:59Z", "open"),
            ("22:00-06:00", "UTC", "2026-11-28T06:00:00Z", "2026-11-28T22:00:00Z"),
            ("01:30-02:00", "UTC", "2026-11-28T01:29:00Z", "2026-11-28T01:30:00Z"),
            ("01:30-02:00", "UTC", "2026-12-31T02:00:00Z", "2027-01-01T01:30:00Z"),
            ("00:00-24:00", "UTC", "2026-11-28T23:59:59Z", "open"),
            ("20:00-24:00", "UTC", "2026-11-28T23:59:59Z", "open"),
            ("20:00-24:00", "UTC", "2026-11-29T00:00:00Z", "2026-11-29T20:00:00Z"),
            ("20:00-00:00", "UTC", "2026-11-29T00:00:00Z", "2026-11-29T20:00:00Z"),
            ("22:00-06:00", "Europe/Berlin", "2026-11-28T20:59:59Z", "2026-11-28T21:00:00Z"),
            ("22:00-06:00", "Europe/Berlin", "2026-07-28T19:59:59Z", "2026-07-28T20:00:00Z"),
            ("22:00-06:00", "America/New_York", "2026-11-28T22:00:00Z", "2026-11-29T03:00:00Z"),
            ("09:00-10:00", "Asia/Kathmandu", "2026-11-28T03:00:00Z", "2026-11-28T03:15:00Z"),
            // The clocks skip 02:30 on that day: the hours begin when the clocks go on.
            ("02:30-03:30", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z"),
            ("02:30-03:30", "Europe/Berlin", "2026-03-29T01:00:00Z", "open"),
            // They show 02:30 twice: twice open.
            ("02:30-02:45", "Europe/Berlin", "2026-10-25T00:31:00Z", "open"),
            ("02:30-02:45", "Europe/Berlin", "2026-10-25T01:31:00Z", "open"),
        ] {
            assert_eq!(opens(hours, zone, now), expected, "{hours} {zone} at {now}");
        }
    }

    #[test]
    fn the_day_on_which_the_clocks_change_still_ends_the_wait_in_time() {
        // Asking again at the time that was told must find the hours open, or a later time: never the same one for ever.
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo"] {
            for hours in ["02:30-02:45", "00:00-00:30", "23:30-01:30", "03:00-02:00"] {
                let hours = Hours::parse(hours, zone).expect("hours");
                let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
                let year = now + k8s_openapi::jiff::SignedDuration::from_hours(24 * 366);
                let mut open = 0;
                while now < year {
                    if let Some(opens) = hours.opens(now) {
                        assert!(opens > now, "{hours} at {now}");
                        now = opens;
                    } else {
                        open += 1;
                        now += k8s_openapi::jiff::SignedDuration::from_mins(7);
                    }
                }
                assert!(open > 300, "{hours}: {open}");
            }
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for text in
            ["", "22", "22:00", "22-06", "22:00-25:00", "22:60-23:00", "24:00-06:00", "2:00-3:00", "a-b", "+2:00-03:00"]
        {
            assert_eq!(Hours::parse(text, "UTC"), Err(HoursError::Form(text.to_owned())));
        }
        assert_eq!(Hours::parse("06:00-06:00", "UTC"), Err(HoursError::Never("06:00-06:00".to_owned())));
        for zone in ["", "Mars/Olympus", "22:00"] {
            assert_eq!(Hours::parse("22:00-06:00", zone), Err(HoursError::Zone(zone.to_owned())), "{zone}");
        }
        let never = HoursError::Never("06:00-06:00".to_owned()).to_string();
        assert!(never.contains("never come"), "{never}");
    }
}
