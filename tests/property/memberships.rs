//! People whom several organizations share: memberships refer to them, and they go with the last one.

use fastrand::Rng;

use super::generate::uid;
use super::schema::{Column, ROOT, Reference, Role, Schema, Table, Type};

impl Schema {
    /// A table of people, memberships that refer to it, and some of: sessions below it, people who invited others, and
    /// tables outside of the plan that refer to people with or without a foreign key.
    pub fn add_people(&mut self, key_type: Type, rng: &mut Rng) {
        let people = self.tables.len();
        self.tables.push(named(people, Role::People, Type::any(rng), rng));
        let memberships = self.tables.len();
        let mut table = named(memberships, Role::Any, Type::any(rng), rng);
        table.columns.push(Column { name: "org".into(), ty: key_type, nullable: false, default: None });
        table.organization = Some(table.columns.len() - 1);
        table.least = 1;
        let organization = table.columns.len() - 1;
        self.tables.push(table);
        self.refer(memberships, vec![organization], ROOT, vec![1], rng);
        self.add_whole_reference(memberships, people, rng);
        if rng.bool() {
            // Somebody who stays keeps the one who invited him.
            self.add_whole_reference(people, people, rng);
        }
        if rng.u8(..3) == 0 {
            // The organization has an owner.
            self.add_whole_reference(ROOT, people, rng);
        }
        if rng.bool() {
            let sessions = self.tables.len();
            self.tables.push(named(sessions, Role::Any, Type::any(rng), rng));
            self.add_whole_reference(sessions, people, rng);
            if rng.u8(..4) == 0 {
                // In which organization it was opened.
                let organization = Column { name: "org".into(), ty: key_type, nullable: true, default: None };
                self.tables[sessions].columns.push(organization);
                let organization = self.tables[sessions].columns.len() - 1;
                self.tables[sessions].organization = Some(organization);
                self.refer(sessions, vec![organization], ROOT, vec![1], rng);
            }
            if rng.u8(..3) == 0 {
                // Whom the session is for, and who opened it.
                self.add_whole_reference(sessions, people, rng);
            }
        }
        for loose in [false, true] {
            if rng.u8(..3) == 0 {
                let outside = self.tables.len();
                self.tables.push(named(outside, Role::Outside, Type::any(rng), rng));
                self.add_whole_reference(outside, people, rng);
                if loose && let Some(reference) = self.references.last_mut() {
                    reference.constraint = None;
                }
            }
        }
    }

    fn add_whole_reference(&mut self, child: usize, parent: usize, rng: &mut Rng) {
        let parent_columns = self.tables[parent].key.clone();
        let nullable = rng.u8(..10) < 4;
        let child_columns = self.referring(child, parent, &parent_columns, nullable, rng);
        self.refer(child, child_columns, parent, parent_columns, rng);
    }

    /// Whether rows refer to each other across tenants by this reference as a matter of course.
    pub fn shares(&self, reference: &Reference) -> bool {
        self.tables[reference.parent].role == Role::People
    }
}

fn named(t: usize, role: Role, key: Type, rng: &mut Rng) -> Table {
    let mut table = Table { name: format!("t{t}"), columns: vec![uid()], role, ..Table::default() };
    let mut add = |name: &str, ty: Type| {
        table.columns.push(Column { name: name.into(), ty, nullable: false, default: None });
        table.columns.len() - 1
    };
    table.key = if role == Role::People && rng.u8(..4) == 0 {
        vec![add("k", key), add("n", Type::Bigint)]
    } else {
        vec![add("id", key)]
    };
    table
}
